"""Cache fills: a value that was loaded after a miss is stored only if nothing has happened to the key since.

What: ``may_fill`` decides whether a fill is written, from what this node and a quorum know; ``fill_token`` makes the
token that goes out with a miss.

Invariant: a fill that was begun before an invalidation, a set or a delete never shows after it. Where this node knows,
the fill is refused; where it does not (a partition), it is written at the time of its token, and ends wherever the
invalidation arrives (``storage.epochs``), and yields to every version that its token had not seen
(``versioning.kernel``). A fill is kept at most ``fill_lifetime_ms``, which is less than deletes are remembered.

Why a fill may be written though too few replicas answered: it can hide nothing, so the worst is a value that does not
show. Brief R13.3, R1.6.
"""

from dynacache.coordination.shared import Shared
from dynacache.errors import InvalidContext
from dynacache.placement.partitions import fingerprint
from dynacache.versioning.context import covers
from dynacache.versioning.fill_tokens import FillToken, make_fill_token, parse_fill_token

__all__ = ["fill_token", "may_fill", "parse_fill"]


def fill_token(shared: Shared, key: bytes, record: bytes | None) -> bytes:
    """Return the token of a miss that found ``record`` now."""
    return make_fill_token(record, fingerprint(key), shared.clock.last)


def parse_fill(shared: Shared, key: bytes, token: bytes) -> FillToken:
    """Read a client's token. Raises InvalidContext for one that no node made for this key."""
    fill = parse_fill_token(token, fingerprint(key))
    if fill.time > shared.clock.last + (shared.clock.max_skew_ms << 16):
        raise InvalidContext("fill: the token is dated ahead of this node's clock")
    return fill


def may_fill(
    shared: Shared,
    partition: int,
    key: bytes,
    fill: FillToken,
    tags: tuple[bytes, ...],
    record: bytes | None,
    evicted: int,
) -> bool:
    """Decide on what is known: ``record`` is what is held anywhere that answered, ``evicted`` the hybrid time of the
    newest version that some replica has evicted, 0 for none."""
    if shared.now_ms - (fill.time >> 16) > shared.fill_lifetime_ms:
        return False
    if shared.store.ended_until(key, tags) >= fill.time:
        return False
    if record is not None:
        return covers(fill.context, record)
    before = max(evicted, shared.store.superseded_before(partition, key) or 0)
    return before < fill.time - (shared.clock.max_skew_ms << 16)
