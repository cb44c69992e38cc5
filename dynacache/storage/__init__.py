"""The store of one node: packed records in plain dictionaries, with expiry, eviction and a byte limit.

What: ``engine`` is what the node uses; it owns ``tables`` (a dictionary per partition), ``expiry`` (the wheel),
``eviction`` (who goes), ``ghosts`` (who went) and counts every byte by ``accounting``.

Invariant: what is accounted is what a recount finds, and never exceeds the limit by more than one entry.

Why: DESIGN section 4. Everything here is sans-IO: time and randomness are arguments.
"""
