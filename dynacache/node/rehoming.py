"""Entries that lie under another replication factor than their namespace has: they are moved to where they belong.

What: a key carries the factor of its namespace (``namespaces.names``), as the node that wrote it knew it. Where a
namespace was in use before it got its factor, or two sides of a partition gave it different ones, some keys carry
another than the settings say, and no request would find them any more. ``Rehoming`` looks for such keys and brings
their records under the right key to the owners of the right partition: as hints, which are kept until enough of them
have the record, and into this node's own store where it is one of them. Then it drops its copy.

Invariant: a record leaves only when its hints have been taken, all of them; merging decides what it is worth beside
what has been written under the right key since. What was moved by several owners is the same record, moved several
times. A copy that is warming or stale is left alone until it is whole. So long after the settings changed that a delete
under the right key may be forgotten (``stale_after_ms``), records are dropped and counted instead, and told: a value
must not come back.

Why every owner for itself: each holds all it needs, and there is no one to ask. What an exchange brings back from an
owner that has not looked yet is found again by the counts of the store (``storage.census``). Reads that come before a
record has been moved do not see it; an operator is told so, and gives a namespace its factor before its first use.
"""

import attrs

from dynacache.coordination.shared import Shared
from dynacache.errors import DynacacheError
from dynacache.namespaces.names import namespace_of, without_factor
from dynacache.placement.partitions import partition_of_key
from dynacache.storage.engine import Engine
from dynacache.versioning.packed import strip_local

__all__ = ["ENTRIES_A_TICK", "INTERVAL_S", "PARTITIONS_A_TICK", "RECORDS_A_TICK", "Rehoming"]

INTERVAL_S = 1.0
"""Pause between two looks at the counts of the store, and before another try where there was no room for a hint."""

PARTITIONS_A_TICK = 256
"""Partitions looked at in one turn of housekeeping."""

ENTRIES_A_TICK = 8_192
"""Entries looked at in one turn of housekeeping after which it ends with its partition: a millisecond or two."""

RECORDS_A_TICK = 256
"""Records moved in one turn of housekeeping; the rest of a partition follows at once."""


@attrs.define(eq=False)
class Rehoming:
    """What one node does about keys with another factor than their namespace has."""

    shared: Shared
    engine: Engine
    moved: int = 0
    dropped: int = 0
    """Records too old to be moved."""
    _wanted: bool = False
    _left: list[int] = attrs.field(factory=list)
    """Partitions that the present walk has not come to, the next one last."""
    _next_look_s: float = 0.0
    _untold: int = 0

    def __attrs_post_init__(self) -> None:
        """Look again whenever settings change."""
        self.shared.namespaces.changed.append(self._changed)

    @property
    def is_walking(self) -> bool:
        """Whether the next turn of housekeeping has partitions to look at."""
        return bool(self._left)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known that would have to be moved."""
        return not self._wanted and not self._left and not self._holds_misplaced()

    def tick(self) -> None:
        """Go on with a walk, or look whether one is due."""
        shared = self.shared
        if not shared.namespaces.any_factor:
            return
        if not self._left and shared.now_s >= self._next_look_s:
            self._next_look_s = shared.now_s + INTERVAL_S
            if self._wanted or self._holds_misplaced():
                self._wanted = False
                self._left = [partition for numbers in self.engine.partitions for partition in numbers]
        self._go_on()
        if self._untold:
            shared.note("namespace.entries_dropped", "warning", entries=self._untold)
            self._untold = 0

    def statistics(self) -> dict[str, int]:
        """Return counters."""
        return {"rehomed_entries": self.moved, "rehoming_dropped_entries": self.dropped}

    def _changed(self, name: str) -> None:
        self._wanted = self._wanted or self.shared.namespaces.any_factor

    def _holds_misplaced(self) -> bool:
        is_placed = self.shared.namespaces.is_placed
        tenants = self.engine.census.tenants.values()
        return any(tenant.entries and not is_placed(tenant.prefix) for tenant in tenants)

    def _go_on(self) -> None:
        room, looks, is_placed = RECORDS_A_TICK, ENTRIES_A_TICK, self.shared.namespaces.is_placed
        for _ in range(min(PARTITIONS_A_TICK, len(self._left))):
            entries = self._entries(self._left[-1])
            looks -= len(entries)
            misplaced = [(key, record) for key, record in entries if not key[0] and not is_placed(key)]
            for key, record in misplaced[:room]:
                if not self._move(self._left[-1], key, record):
                    self._left.clear()
                    self._wanted = True  # from the start, after a pause
                    return
            room -= len(misplaced)
            if room < 0:
                return
            self._left.pop()
            if looks <= 0:
                return

    def _entries(self, partition: int) -> list[tuple[bytes, bytes]]:
        engine = self.engine
        return [] if partition in engine.warming or partition in engine.stale else engine.items(partition)

    def _move(self, partition: int, key: bytes, record: bytes) -> bool:
        """Bring one record to its place; False if there is no room for it now."""
        shared = self.shared
        namespaces, placement = shared.namespaces, shared.routes.placement
        since_ms = namespaces.version(namespace_of(key)) >> 16
        if shared.now_ms - since_ms > shared.stale_after_ms:
            self.dropped += 1
            self._untold += 1
            self.engine.remove(partition, key)
            return True
        placed, record = namespaces.placed(without_factor(key)), strip_local(record)
        number = partition_of_key(placed, shared.partition_shift)
        owners = placement.write_owners(number) if placement.has(number) else ()
        try:
            for owner in owners:
                if owner == shared.node_id:
                    shared.merge(number, placed, record)
                elif not shared.hints.add(owner, number, placed, record, shared.now_ms, counted=True):
                    return False
                else:
                    shared.counters.hints_stored += 1
        except DynacacheError:
            return False
        if not owners:
            return False
        self.engine.remove(partition, key)
        self.moved += 1
        return True
