"""The store of one node: memory limit, shares of it, and how long deletes are remembered.

What: the section that ``storage.engine`` receives.

Invariant: the shares leave most of the limit to entries, and a tombstone cannot be reaped late before it may be reaped
early.

Why these numbers: brief sections 2, 8 and 12; the whole node's rule about hints and grace is checked in ``root``.
"""

from typing import Any

import attrs

from dynacache.errors import InvalidOption

__all__ = ["EVICTION_POLICIES", "StorageSettings"]

EVICTION_POLICIES = ("s3fifo", "lru", "lfu", "ttl", "random", "noeviction")
"""Names of the policies this release knows."""


def _share(_: Any, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not 0 < value <= 0.5:
        raise InvalidOption(f"storage.{attribute.name}: got {value}, expected a share above 0 and at most 0.5")


def _positive(_: Any, attribute: "attrs.Attribute[int]", value: int) -> None:
    if value < 1:
        raise InvalidOption(f"storage.{attribute.name}: got {value}, expected a number above 0")


@attrs.frozen
class StorageSettings:
    """Limits in bytes, grace in milliseconds, background work in entries."""

    limit_bytes: int = attrs.field(default=256 * 1024 * 1024, validator=_positive)
    """Where ``memory.limit_bytes`` is 0: memory for everything the store keeps: records, keys, dictionaries, ghosts,
    tombstones, repair trees, expiry and eviction data. It is reached by evicting, never passed. Hints and the
    interpreter (some 50 MiB) have their own share on top. More holds more; the store never grows beyond it, so leave
    the machine room for the rest."""

    eviction: str = attrs.field(default="s3fifo")
    """What goes when memory is full: ``s3fifo`` what was not used again soon after it came, later what was not used in
    its turn; ``lru`` the entry unused for longest (sampled); ``lfu`` as ``s3fifo``, but for loads whose favourites
    stay; ``ttl`` what expires soonest (of those drawn); ``random`` any; ``noeviction`` nothing, so that a write that
    needs more room is refused while reads and deletes go on. A namespace may have its own."""

    tombstone_share: float = attrs.field(default=0.125, validator=_share)
    """Part of the limit that tombstones may take. They are never evicted; a delete beyond it is refused and changes
    nothing. What a value leaves that expires where an older one may outlive it is kept even beyond: it takes less than
    the value did, and deletes wait for it. More allows more deletes within the grace limit."""

    ghost_share: float = attrs.field(default=0.03, validator=_share)
    """Part of the limit for the memory of what was evicted, witnessed at a full node or reaped early, 29 bytes each. A
    partition whose part is full forgets its oldest, and from then on says of any miss that it may have been evicted;
    what it forgot is a difference for repair. More keeps misses exact for longer."""

    gc_grace_min_ms: int = attrs.field(default=60 * 60 * 1000, validator=_positive)
    """Least age of a tombstone before it may be reaped because every owner is known to hold it. Must exceed the life of
    a hint and of a request. Less frees the memory of deletes sooner."""

    gc_grace_max_ms: int = attrs.field(default=24 * 60 * 60 * 1000, validator=_positive)
    """Age at which a complete copy reaps a tombstone whatever the others hold; the same on all nodes. A copy that has
    not synced for 0.8 of it is stale: it answers misses with *unknown* and keeps only what is younger once it meets a
    complete one. More tolerates longer absence and keeps more tombstones."""

    largest_value_bytes: int = attrs.field(default=16 * 1024 * 1024, validator=_positive)
    """Largest encoded value; a larger one is refused before anything changes."""

    collect_count: int = attrs.field(default=1_000, validator=_positive)
    """Entries that one slice of background clean-up looks at. A slice must stay under 5 ms: about 1 to 2 microseconds
    an entry."""

    def __attrs_post_init__(self) -> None:
        """Check the rules between fields."""
        if self.eviction not in EVICTION_POLICIES:
            expected = " or ".join(EVICTION_POLICIES)
            raise InvalidOption(f"storage.eviction: got {self.eviction!r}, expected {expected}")
        if self.gc_grace_max_ms < self.gc_grace_min_ms:
            raise InvalidOption(
                f"storage.gc_grace_max_ms: got {self.gc_grace_max_ms}, expected at least gc_grace_min_ms"
                f" ({self.gc_grace_min_ms})"
            )
