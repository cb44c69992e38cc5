"""A batch: requests that are sent together, ready to leave.

What: the bytes, and what the generator must know of the answers without looking at the requests again.

Invariant: a batch is encoded once, before the clock runs, and sent any number of times, on any connection.

Why its own module: the dialects make batches and the readers of answers are told of them.
"""

import attrs

__all__ = ["Batch"]


@attrs.frozen
class Batch:
    """Requests that are sent together on one connection."""

    data: bytes
    count: int
    reply_bytes: int
    """Length of the answers when every read hits, every write is applied and they come undivided."""
    kinds: str
    """What each answer belongs to, in order, as the reader of this dialect wants to know it."""
