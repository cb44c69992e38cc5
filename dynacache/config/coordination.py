"""Quorum reads and writes: timeouts, budgets and bounds.

What: the coordinator's section.

Invariant: every wait has an end and every table a limit.

Why these numbers: brief sections 5 and 15.
"""

import attrs

from dynacache.errors import InvalidOption

__all__ = ["CoordinationConfig"]


@attrs.frozen
class CoordinationConfig:
    """Timeouts, hedging, read repair, operation ids."""

    read_timeout_ms: int = 1_000
    """Time a read may take when the client names none."""

    write_timeout_ms: int = 2_000
    """Time a write may take when the client names none."""

    longest_timeout_ms: int = 60_000
    """Longest timeout a client may ask for; a longer one is an error."""

    replica_timeout_ms: int = 500
    """Silence of one replica after which a fallback is asked to stand in and the link is held against it."""

    pending_limit: int = 100_000
    """Requests in flight at one coordinator; one more is refused as overloaded."""

    turn_reply_limit_bytes: int = 64 * 1024 * 1024
    """Bytes of values that the reads of one turn may ask for together; the next read in that turn is refused as
    overloaded, so that one frame full of reads of large values cannot exhaust the memory."""

    hedge_floor_ms: int = 5
    """Least delay before a second replica is asked while the first is silent. Four times the mean answer time of the
    first is the delay where that is more."""

    hedge_budget: float = 0.1
    """Hedged reads allowed as a share of all reads, so that a slow cluster is not asked twice as much."""

    failure_threshold: int = 3
    """Consecutive timeouts after which a peer is avoided without waiting for the membership protocol."""

    avoid_first_s: float = 1.0
    """Seconds a failing peer is avoided at first; doubles at each repetition."""

    avoid_longest_s: float = 10.0
    """Longest time a failing peer is avoided before it is tried again."""

    max_clock_skew_ms: int = 500
    """A message whose hybrid clock is further ahead of this machine's clock than this is not merged."""

    max_message_age_ms: int = 5_000
    """A replication message older than this (by its hybrid clock) is dropped: its coordinator has hinted it by now. A
    client's frame with writes that was sent longer ago is refused: its sender has given it up, or sent it elsewhere."""

    operation_id_limit: int = 100_000
    """Operation ids remembered for retries, in two generations."""

    operation_id_lifetime_s: float = 60.0
    """Seconds an operation id is remembered at least, unless the limit is reached earlier."""

    forward_hops: int = 2
    """Times a request may be forwarded; nodes that disagree about placement settle that instead of passing it on."""

    fill_lifetime_ms: int = 600_000
    """Longest time from a miss to the fill with its token; a later one is refused. At most as long as deletes are
    remembered (``storage.gc_grace_min_ms``)."""

    tag_epochs_limit: int = 50_000
    """Invalidated tags that every node remembers one by one; beyond, the oldest quarter is folded into one date per
    namespace, before which everything that has a tag there is invalid."""

    pattern_epochs_limit: int = 128
    """Patterns of a namespace whose invalidation is remembered; one more is refused until the oldest is forgotten,
    after ``storage.gc_grace_max_ms``."""

    default_read_level: int = 1
    """Level of reads that name none: one."""

    default_write_level: int = 2
    """Level of writes that name none: quorum."""

    def __attrs_post_init__(self) -> None:
        """Check that bounds are positive."""
        for field in attrs.fields(CoordinationConfig):
            value = getattr(self, field.name)
            if value <= 0:
                raise InvalidOption(f"coordination.{field.name}: got {value}, expected a number above 0")
