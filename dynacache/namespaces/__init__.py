"""Namespaces: how a key carries the name of its own, and the settings that each may have.

What: ``names`` turns (namespace, key) into the *qualified* key that travels and is stored, and back; ``settings`` is
what an operator may set for a namespace, in the form that the catalogue spreads.

Invariant: the default namespace's keys are their own bytes (but for those that begin with byte 0), so a cluster that
never names a namespace pays nothing for them.

Why so: placement, quorums, hints, trees, exchange and transfer see keys and nothing else; a namespace that is part of
the key needs none of them to know it.
"""
