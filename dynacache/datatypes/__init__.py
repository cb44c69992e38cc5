"""Value types on the causal kernel: registers and counters, and the one way to read a record."""
