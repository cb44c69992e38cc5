"""Who goes when memory is full.

What: ``policy`` is the port and what policies have in common, ``recency`` the policy ``lru``, ``queues`` the policies
``s3fifo`` and ``lfu``, ``drawing`` the policies ``ttl`` and ``random``, ``lines`` the queues they stand on, and
``groups`` decides whose entry has to make room, moves entries between policies and checks shares.

Invariant: victims depend on the operations and the random numbers alone, never on addresses or on Python's randomised
hashes; nothing here touches a record.

Why so many parts: a policy for everybody may use the order of the shards and costs 2 bytes an entry; one for a part of
the keys needs queues of its own.
"""
