"""Placement: keys to partitions, the gossiped member table, and the owners that follow from it."""
