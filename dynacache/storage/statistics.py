"""What the store tells about itself: one frozen record.

What: counts, bytes by share and outcomes so far, for metrics, the command line and the simulator's gauges.

Invariant: a copy; taking it changes nothing and costs a few additions.

Why a record: metrics, alerts and checkers read the same figures (STYLE 24).
"""

import attrs

from dynacache.storage.accounting import Usage

__all__ = ["StorageStatistics"]


@attrs.frozen
class StorageStatistics:
    """Figures of one engine at one moment."""

    entries: int
    """Live records, expired ones included until they are met."""

    tombstones: int
    ghosts: int
    expiring: int
    """Entries in the wheel."""

    usage: Usage
    limit_bytes: int
    tombstone_limit_bytes: int
    hits: int
    """``get`` that found a live record."""

    misses: int
    """``get`` that found a tombstone or nothing."""

    evicted: int
    expired: int
    invalidated: int
    """Records that an invalidation has ended, wholly or in part."""

    reaped: int
    reaped_early: int
    """Of those reaped, the tombstones that every owner was known to hold before the grace limit."""

    witnessed: int
    """Entries from other replicas that a full node remembered instead of taking."""

    refused: int
    """Writes refused for want of memory or for their size."""

    discarded: int
    """Concurrent values left out for a newer one, in namespaces where the last write wins."""

    forgetful_partitions: int
    """Shards that no longer remember all that was evicted from them."""
