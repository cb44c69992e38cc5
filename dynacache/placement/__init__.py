"""Placement: keys to partitions, the gossiped member table, and the owners that follow from it.

What, from the bottom: ``partitions`` (key to partition), ``table`` (who belongs, in which state; merges),
``rendezvous`` (an order of holders for each partition), ``placement`` (the owner sets under one table), ``continuity``
(what a node gains from one table to the next), ``plan`` (what a change would move), ``birth_record`` (how a cluster
began), ``checks``.
Pure functions of values all of it; when a member may change its state is decided in ``repair.ring_rules``.
"""
