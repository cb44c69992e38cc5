"""The giving side of a transfer: answer PULLs, a page at a time, clients first.

What: ``Server`` walks through the partitions that a PULL names until the page is full. A partition that is equal to the
puller's (same root) or that fits is finished at once; the last one may go on in the next page, from a snapshot that is
kept until then.

Invariant: one snapshot a puller and at most ``snapshot_limit`` in all; one that is not asked for within
``snapshot_idle_s`` is dropped. Only owners are served from and only behind the fence: the node has compared the member
tables before. Nothing here changes the store.

Why equal roots end a partition: a root is the XOR of the hashes of everything that a copy has witnessed, so equal roots
mean that there is nothing to learn. The second source of a restarted node then costs a few bytes a partition.
"""

import attrs
from pyroaring import BitMap

from dynacache.config.transfer import TransferConfig
from dynacache.events import Message
from dynacache.repair.copy_state import pack_state
from dynacache.repair.ports import RepairPort
from dynacache.repair.transfer_messages import RECORD_COST_BYTES, Outcome, Part, Pull, Wanted, part_bytes, read_pull
from dynacache.repair.transfer_rate import TokenBucket
from dynacache.repair.transfer_store import HintsFor, SnapshotPages, TransferStore
from dynacache.types import NodeId
from dynacache.wire.messages import PAGE

__all__ = ["Server"]

_LEAST_PAGE_BYTES = 4_096
"""A page is at least as large, however busy the node is, so that every transfer ends."""
_POSITION_BITS = 32


@attrs.define(eq=False)
class _Open:
    """A snapshot between two pages."""

    partition: int
    number: int
    pages: SnapshotPages
    used_s: float


@attrs.define(eq=False)
class Server:
    """Serves the pulls of other nodes."""

    port: RepairPort
    settings: TransferConfig
    store: TransferStore
    hints_for: HintsFor
    bucket: TokenBucket
    pages: int = 0
    bytes_out: int = 0
    refused: int = 0
    snapshots_lost: int = 0
    _open: dict[NodeId, _Open] = attrs.field(factory=dict)
    _owned: BitMap = attrs.field(init=False)
    _number: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin the numbers of snapshots where no earlier process of this node is likely to have been."""
        self._number = self.port.random.getrandbits(30)
        self.owners_changed()

    def owners_changed(self) -> None:
        """Follow a new table: only what this node owns is served."""
        self._owned = self.port.placement.owned_by(self.port.node_id)

    @property
    def open_count(self) -> int:
        """How many snapshots are kept."""
        return len(self._open)

    def serve(self, connection: int, node_id: NodeId, message: Message) -> None:
        """Answer a PULL; raises ``ValueError`` for a malformed one."""
        pull = read_pull(message, self.port.placement)
        unowned = [each.partition for each in pull.wanted if each.partition not in self._owned]
        if unowned:
            raise ValueError(f"PULL of partition {unowned[0]}, which this node does not own")
        parts = self._parts(node_id, pull)
        size_bytes = sum(map(part_bytes, parts))
        self.bucket.take(size_bytes + RECORD_COST_BYTES * (sum(len(part.records) for part in parts) >> 1))
        self.pages += 1
        self.bytes_out += size_bytes
        state = pack_state(self.store.warming, self.store.stale)
        listed = [part.to_wire() for part in parts]
        self.port.reply(connection, (PAGE, message[1], self.port.hybrid, state, self.hints_for(node_id), listed))

    def tick(self) -> None:
        """Drop snapshots whose pullers have not come back."""
        oldest_s = self.port.now_s - self.settings.snapshot_idle_s
        for node_id in [node_id for node_id, each in self._open.items() if each.used_s < oldest_s]:
            del self._open[node_id]
            self.snapshots_lost += 1

    def next_due_s(self) -> float:
        """Return when a snapshot may be dropped."""
        return min((each.used_s for each in self._open.values()), default=float("inf")) + self.settings.snapshot_idle_s

    def _parts(self, node_id: NodeId, pull: Pull) -> list[Part]:
        self.bucket.share = max(0.05, 1.0 - self.port.load)
        budget = min(pull.limit_bytes, max(_LEAST_PAGE_BYTES, int(pull.limit_bytes * self.bucket.share)))
        if not self.bucket.available(self.port.now_s):
            return [Part(each.partition, Outcome.BUSY) for each in pull.wanted[:1]]
        parts: list[Part] = []
        for wanted in pull.wanted:
            part = self._part(node_id, wanted, budget)
            parts.append(part)
            budget -= part_bytes(part)
            if budget <= 0 or part.outcome is not Outcome.LAST:
                break
        return parts

    def _part(self, node_id: NodeId, wanted: Wanted, limit_bytes: int) -> Part:
        partition, cursor = wanted.partition, wanted.cursor
        kept = self._open.pop(node_id, None)
        if cursor:
            if kept is None or kept.partition != partition or kept.number != cursor >> _POSITION_BITS:
                self.refused += 1
                return Part(partition, Outcome.LOST)
        elif wanted.root == self.store.root(partition):
            return Part(partition, Outcome.LAST, forgot=self.store.has_forgotten(partition))
        else:
            self._number += 1
            kept = _Open(partition, self._number, self.store.snapshot(partition), 0.0)
        position = cursor & ((1 << _POSITION_BITS) - 1)
        records, ghosts, following = kept.pages.page(position, limit_bytes)
        if following is None:
            return Part(partition, Outcome.LAST, 0, records, ghosts, self.store.has_forgotten(partition))
        if len(self._open) >= self.settings.snapshot_limit:
            self.refused += 1
            return Part(partition, Outcome.BUSY)
        kept.used_s = self.port.now_s
        self._open[node_id] = kept
        return Part(partition, Outcome.MORE, kept.number << _POSITION_BITS | following, records, ghosts)
