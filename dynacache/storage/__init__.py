"""The store of one node: packed records in plain dictionaries, with expiry, eviction, repair trees and a byte limit.

What, in reading order. ``engine`` is what the node calls; it is one object in four layers, each a class that knows only
those below, since a hot call touches four structures and a call between objects costs as much as the dictionary does:

``shape``      the state: one of everything for each shard
``holdings``   the steps that move it together: insert, replace, drop, reap, expire, evict
``replica``    what other replicas see of it: trees, ghosts, whole partitions
``engine``     get, put, merge, clean-up

Under them: ``records`` (what the bytes of a record tell), ``tables`` (dictionaries by partition), ``expiry`` (the
wheel), ``eviction`` (who goes), ``reaper`` (which tombstones go), ``ghosts`` (who went), ``contributions`` and
``trees`` (what is compared), ``listing`` and ``snapshot`` (what is shown of leaves and of partitions), ``accounting``
and ``statistics``.

Invariant: what is accounted is what a recount finds, and never exceeds the limit by more than one entry; trees are what
a rebuild of all that is held and remembered finds.

Why: DESIGN sections 4 and 8. Everything here is sans-IO: time and randomness are arguments.
"""
