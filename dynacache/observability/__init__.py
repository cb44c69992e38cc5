"""Observability: what a node counts of what it is asked, in constant memory.

What: ``space_saving`` (the most frequent of a stream), ``hot_keys`` (which keys are read most), ``miss_counts`` (misses
by reason and by key prefix).

Invariant: nothing here changes what a client is answered, and each part has a named bound on its memory.
"""
