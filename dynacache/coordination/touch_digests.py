"""Touch digests: owners tell each other what they read, so that nobody evicts as cold what another serves.

What: the store samples one read in eight. Every ``INTERVAL_S`` a node takes those samples and sends each co-owner of
their partitions the key hashes that concern it, in one message: for each group of keys with a policy of its own
(``storage.eviction.groups``) its prefix and a roaring bitmap. Who gets one counts a use for each.

Invariants: at most ``PARTITION_LIMIT_COUNT`` hashes a partition and ``DIGEST_LIMIT_COUNT`` a message; what is more is
left out, lowest hashes first kept. A digest changes no record, is never answered, is not sent while nothing was read,
and is not passed on: a use that another told of is no read here. Losing one costs a little of the hit ratio.

Why sampled: a read would cost a tenth more otherwise, and what is read less than once in ten seconds or so is cold. Why
hashes: a use is noted in a cell that is found by the hash alone (``storage.eviction.policy``). Brief rule R12.5.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import attrs
from pyroaring import BitMap

from dynacache.coordination.shared import Shared
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import factor_in
from dynacache.placement.placement import Owners, Placement
from dynacache.types import NodeId
from dynacache.wire.messages import TOUCHED

__all__ = [
    "DIGEST_LIMIT_COUNT",
    "INTERVAL_S",
    "PACKED_LIMIT_BYTES",
    "PARTITION_LIMIT_COUNT",
    "TouchDigests",
    "TouchStore",
]

INTERVAL_S = 10.0
PARTITION_LIMIT_COUNT = 4_096
DIGEST_LIMIT_COUNT = 65_536
"""Hashes in one message, of all groups together; their bitmap takes up to 10 bytes each."""

PACKED_LIMIT_BYTES = 16 * DIGEST_LIMIT_COUNT


class TouchStore(Protocol):
    """What the digests need of the storage engine."""

    def take_touched(self) -> list[tuple[bytes, set[int]]]:
        """Return by prefix the hashes of keys read since the last call."""
        ...

    def touch(self, prefix: bytes, hashes: Iterable[int]) -> None:
        """Count a use of keys of a group, by their hashes."""
        ...


@attrs.define(eq=False)
class TouchDigests:
    """The digests of one node; one of the cores that ``node.upkeep`` drives."""

    shared: Shared
    engine: TouchStore
    placement: Callable[[], Placement]
    handlers: Mapping[int, Callable[[ConnectionId, NodeId, Message], None]] = attrs.field(init=False)
    sent: int = attrs.field(init=False, default=0)
    sent_keys: int = attrs.field(init=False, default=0)
    received: int = attrs.field(init=False, default=0)
    received_keys: int = attrs.field(init=False, default=0)
    _due_s: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.handlers = {TOUCHED: self._touched}
        self._due_s = self.shared.now_s + INTERVAL_S

    def tick(self) -> None:
        """Send what was read, if it is time."""
        shared = self.shared
        if shared.now_s < self._due_s:
            return
        self._due_s = shared.now_s + INTERVAL_S
        for node_id, groups in self._by_owner().items():
            link = shared.links.link(node_id)
            if not link.usable():
                continue
            fields: list[bytes] = []
            room = DIGEST_LIMIT_COUNT
            for prefix, hashes in groups.items():
                kept = hashes if len(hashes) <= room else BitMap(hashes[:room])
                room -= len(kept)
                if kept:
                    fields += [prefix, kept.serialize()]
                self.sent_keys += len(kept)
            shared.effects.send(link.connection, (TOUCHED, 0, shared.clock.last, shared.digest, fields))
            self.sent += 1

    def next_due_s(self) -> float:
        """Never early: a digest may be late."""
        return float("inf")

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Nothing is kept about owners."""

    def statistics(self) -> dict[str, object]:
        """Return counters."""
        return {
            "digests_sent": self.sent,
            "keys_sent": self.sent_keys,
            "digests_received": self.received,
            "keys_received": self.received_keys,
        }

    def _by_owner(self) -> dict[NodeId, dict[bytes, BitMap]]:
        """Return by co-owner and group the hashes of what was read since the last call."""
        shared, placement = self.shared, self.placement()
        found: dict[NodeId, dict[bytes, BitMap]] = {}
        for prefix, hashes in self.engine.take_touched():
            owners_of = _owners_of(placement, prefix)
            counts: dict[int, int] = {}
            for hashed in sorted(hashes):
                partition = hashed >> shared.partition_shift
                counts[partition] = count = counts.get(partition, 0) + 1
                if count > PARTITION_LIMIT_COUNT:
                    continue
                for owner in owners_of(partition):
                    if owner != shared.node_id:
                        found.setdefault(owner, {}).setdefault(prefix, BitMap()).add(hashed)
        return found

    def _touched(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Count a use for every hash of a digest. Raises ValueError for a malformed one."""
        fields = message[4]
        if type(fields) is not list or len(fields) % 2 or not all(type(field) is bytes for field in fields):
            raise ValueError("a touch digest of something else than prefixes and bitmaps")
        if sum(map(len, fields)) > PACKED_LIMIT_BYTES:
            raise ValueError(f"a touch digest of more than {PACKED_LIMIT_BYTES} bytes")
        digests = [
            (prefix, BitMap.deserialize(packed)) for prefix, packed in zip(fields[::2], fields[1::2], strict=True)
        ]
        count = sum(len(hashes) for _, hashes in digests)
        if count > DIGEST_LIMIT_COUNT:
            raise ValueError(f"a touch digest of {count} keys, expected at most {DIGEST_LIMIT_COUNT}")
        for prefix, hashes in digests:
            self.engine.touch(prefix, hashes)
        self.received += 1
        self.received_keys += count


def _owners_of(placement: Placement, prefix: bytes) -> Callable[[int], Owners]:
    """Return what tells the owners of a key by the partition that its hash says. The hash does not tell the replication
    factor; that stands in the prefix of a group of its own, and what everybody's group holds may be of any."""
    starts = [numbers.start for numbers in placement.partitions]
    if prefix:
        starts = [start for start in starts if start == factor_in(prefix) * placement.partition_count]
    if starts == [0]:
        return placement.write_owners
    owners = placement.write_owners
    return lambda partition: tuple(dict.fromkeys(node for start in starts for node in owners(start + partition)))
