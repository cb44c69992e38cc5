"""The demo: real node processes, a crash and a restart in the middle, and a verdict on every acknowledged write."""
