"""What both sides of an exchange stand on: the store, the peers, digests of nodes, records taken in.

What: ``ExchangeGround`` is shared by the sessions that this node drives, the answers it gives and the core that
schedules them. It moves what changed in the store to every peer it concerns, computes digests of nodes, merges
incoming records, and counts.

Invariant: ``absorb`` comes before any digest and before any clearing, so that no change falls between the two. A record
is merged only where this node is an owner, and only what was not superseded here.

Why one object: asking and answering are two files with one state, as the parts of the coordinator are.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence

import attrs
from pyroaring import BitMap

from dynacache.config.repair import RepairConfig
from dynacache.errors import InvalidRequest
from dynacache.placement.partitions import partition_of_key
from dynacache.placement.placement import Placement
from dynacache.repair.copy_state import pack_state
from dynacache.repair.differences import Entry
from dynacache.repair.exchange_nodes import PREFIX_BITS, Forest
from dynacache.repair.exchange_pace import Pace
from dynacache.repair.exchange_peer import PeerView
from dynacache.repair.exchange_regrets import Regrets
from dynacache.repair.exchange_store import WITNESSED, ExchangeStore
from dynacache.repair.ports import RepairPort
from dynacache.repair.sync_times import SyncTimes
from dynacache.types import NodeId
from dynacache.versioning import packed
from dynacache.wire.messages import KEY_LIMIT_BYTES

__all__ = ["ExchangeCounters", "ExchangeGround", "Fresh", "size_of"]

_IDS = 1 << PREFIX_BITS

Fresh = Callable[[int, bytes, bytes], "bytes | None"]
"""(partition, key, record) -> what of the record was not superseded by something remembered here, None for nothing."""


@attrs.define(eq=False)
class ExchangeCounters:
    """Events since the start of the node."""

    exchanges: int = 0
    exchanges_equal: int = 0
    exchanges_failed: int = 0
    walks: int = 0
    answered: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    nodes_compared: int = 0
    leaves_differing: int = 0
    entries_listed: int = 0
    differences: int = 0
    records_sent: int = 0
    records_received: int = 0
    witnessed: int = 0
    ghosts_dropped: int = 0
    settled_leaves: int = 0
    postponed_leaves: int = 0
    superseded: int = 0
    refused: int = 0
    conflicts_merged: int = 0
    pushed_partitions: int = 0
    became_stale: int = 0


def size_of(value: object) -> int:
    """Return about how many bytes a value takes in a message."""
    if isinstance(value, bytes | str):
        return len(value) + 3
    if isinstance(value, list | tuple):
        return 3 + sum(map(size_of, value))
    return 5


@attrs.define(eq=False)
class ExchangeGround:
    """The state of the exchange core. ``owned`` are the partitions that writes of this node go to."""

    port: RepairPort
    settings: RepairConfig
    engine: ExchangeStore
    fresh: Fresh
    forest: Forest
    sync: SyncTimes
    pace: Pace
    owned: BitMap = attrs.field(factory=BitMap)
    peers: dict[NodeId, PeerView] = attrs.field(factory=dict)
    departing: BitMap = attrs.field(factory=BitMap)
    regrets: Regrets = attrs.field(factory=Regrets)
    counters: ExchangeCounters = attrs.field(factory=ExchangeCounters)

    def follow(self, placement: Placement) -> None:
        """Take the owners of another placement: peers are all who share a partition with us."""
        me = self.port.node_id
        self.owned = placement.owned_by(me)
        forest = Forest.of(placement)
        if forest != self.forest:  # further partitions: nothing that is known by the numbers of nodes holds any more
            self.forest = forest
            self.peers.clear()
        self.sync.extend(placement.numbers_end, self.port.now_ms)
        shared: dict[NodeId, list[int]] = {}
        for partition in self.owned:
            for node_id in placement.write_owners(partition):
                if node_id != me:
                    shared.setdefault(node_id, []).append(partition)
        self.absorb()
        for node_id in [node_id for node_id in self.peers if node_id not in shared]:
            del self.peers[node_id]
        for node_id in sorted(shared):
            view = self.peers.get(node_id)
            if view is None:
                view = self.peers[node_id] = PeerView(node_id, self.forest)
                spread_s = self.settings.exchange_interval_s * self.port.random.random()
                view.due_s = self.port.now_s + spread_s
                view.walk_due_s = view.reopen_due_s = self.port.now_s + self.settings.walk_interval_s
            view.share(BitMap(shared[node_id]))

    @property
    def shared(self) -> BitMap:
        """Partitions that have another owner."""
        return BitMap.union(BitMap(), *(view.shared for view in self.peers.values()))

    def absorb(self) -> None:
        """Tell every peer's view what changed here."""
        changed = self.engine.take_changed()
        if changed:
            for view in self.peers.values():
                view.note_changed(changed)

    def state_for(self, view: PeerView) -> list[bytes]:
        """Return the field ``state`` for a peer."""
        return pack_state(self.engine.warming & view.shared, self.engine.stale & view.shared)

    def excluded(self, view: PeerView) -> BitMap:
        """Return the shared partitions that a digest over many leaves out: incomplete at either side."""
        engine = self.engine
        if not (engine.warming or engine.stale or view.warming or view.stale):
            return BitMap()
        return (engine.warming | engine.stale | view.warming | view.stale) & view.shared

    def visited(self, partitions: BitMap) -> None:
        """Take partitions off the list of those to visit first once no other owner may differ there."""
        dirty = self.engine.dirty
        if dirty:
            dirty &= self.owned
            for partition in dirty & partitions:
                first = partition << PREFIX_BITS
                if not any(view.dirty.range_cardinality(first, first + _IDS) for view in self.peers.values()):
                    dirty.discard(partition)

    # Digests

    def digests(self, nodes: Sequence[int], comparable: BitMap) -> "array[int]":
        """Return the digests of nodes, none of them deeper than the tree it is in. Leaves of one partition are asked of
        the store in one call if they stand together."""
        forest = self.forest
        # The shallowest nodes have the lowest numbers; roots are brought up to date only when they are asked for.
        roots = self.engine.roots if nodes and forest.level(min(nodes)) <= 0 else array("Q")
        found = array("Q")
        place, count = 0, len(nodes)
        while place < count:
            node = nodes[place]
            level = forest.level(node)
            if level < 0:
                found.append(_group_digest(roots, comparable, *forest.partitions(node)))
                place += 1
                continue
            partition = (node >> level) - forest.partition_count
            end = place + 1
            while end < count and nodes[end] >> level == node >> level:
                end += 1
            if level:
                mask = (1 << level) - 1
                found += self.engine.leaf_digests(partition, level, [each & mask for each in nodes[place:end]])
            else:
                found.extend([roots[partition]] * (end - place))
            place = end
        self.counters.nodes_compared += count
        return found

    # Records

    def take(self, key: object, record: object) -> tuple[int, bytes, bytes | None]:
        """Merge a record that a peer sent; return (partition, key, what to give back: a record that is neither theirs
        nor older, or None).

        Raises an error of the tree if it is refused; then nothing changed.
        """
        if type(key) is not bytes or not 0 < len(key) <= KEY_LIMIT_BYTES:
            raise InvalidRequest(f"key: got {key!r:.80}, expected 1 to {KEY_LIMIT_BYTES} bytes")
        if type(record) is not bytes or not packed.is_well_formed(record):
            raise InvalidRequest(f"record of {key!r:.80}: malformed")
        partition = partition_of_key(key, self.port.placement.shift)
        if partition not in self.owned:
            raise InvalidRequest(f"partition {partition}: this node is no owner")
        counters, engine = self.counters, self.engine
        counters.records_received += 1
        held = engine.peek(partition, key)
        incoming = self.fresh(partition, key, record)
        if incoming is None:
            counters.superseded += 1
            return partition, key, None
        if engine.merge_cold(partition, key, incoming, self.port.now_ms) == WITNESSED:
            counters.witnessed += 1
        after = engine.peek(partition, key)
        if after is None:
            return partition, key, None
        if packed.version_prefix(after) == packed.version_prefix(record):
            return partition, key, None
        if held is not None and packed.version_prefix(after) != packed.version_prefix(held):
            counters.conflicts_merged += 1
        return partition, key, packed.strip_local(after)

    def discard(self, partition: int, keys: Mapping[int, bytes | None], before_ms: int) -> tuple[set[int], set[int]]:
        """Drop what is older of some entries (by fingerprint; the key, None for a ghost), with its context.

        Return those that are as they were and those of which the younger part is left.
        """
        engine = self.engine
        before = {number: engine.peek(partition, key) for number, key in keys.items() if key is not None}
        ghosts = [number for number, key in keys.items() if key is None]
        engine.discard_entries(partition, [key for key in keys.values() if key is not None], ghosts, before_ms)
        kept: set[int] = set()
        changed: set[int] = set()
        for number, record in before.items():
            left = engine.peek(partition, keys[number] or b"")
            if left is not None:
                (kept if left is record else changed).add(number)
        return kept, changed

    def remember(self, partition: int, witness: Sequence[Entry], drop: Sequence[int]) -> int:
        """Remember versions that we do not take, forget ghosts; return how many things changed at most."""
        if witness:
            self.engine.witness_many(partition, [entry.ghost for entry in witness])
            self.regrets.remembered(partition, [entry.fingerprint for entry in witness])
        if drop:
            drop = self.regrets.to_drop(partition, drop)
            self.engine.drop_ghosts(partition, drop)
        self.counters.witnessed += len(witness)
        self.counters.ghosts_dropped += len(drop)
        return len(witness) + len(drop)


def _group_digest(roots: "array[int]", comparable: BitMap, first: int, end: int) -> int:
    digest = 0
    for partition in comparable.iter_equal_or_larger(first):
        if partition >= end:
            break
        digest ^= roots[partition]
    return digest
