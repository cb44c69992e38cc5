"""Versions: the hybrid clock, actors, the causal kernel, and the packed record that is stored and sent."""
