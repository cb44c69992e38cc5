"""Transfer cores on a fake wire: a few nodes, one virtual clock, stores of a few lines.

What: ``World`` holds nodes with a member table each, delivers questions and answers after ``delay_s``, and lets a test
cut links, kill nodes, restart them empty, and change the table at one node or everywhere. Messages are packed and
unpacked on their way.

Invariant: a question is answered, failed or timed out exactly once; time moves only in ``run``.
"""

from heapq import heappop, heappush
from random import Random
from typing import Any

import attrs
import msgpack
from mmh3 import mmh3_x64_128_utupledigest
from pyroaring import BitMap

from dynacache.config.transfer import TransferConfig
from dynacache.errors import OutOfMemory
from dynacache.placement.partitions import key_hash, partition_shift
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.repair.ports import Waiter
from dynacache.repair.transfer import Transfer
from dynacache.repair.transfer_store import REFUSED
from dynacache.repair.warming import Ending
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.messages import PULL

START_MS = 1_700_000_000_000
ISSUER = ActorIssuer(7)


def record_of(size: int = 16, time_ms: int = START_MS) -> bytes:
    """Return a record that travels."""
    return packed.write(None, ISSUER, time_ms << 16, 0, packed.RAW, b"v" * size, time_ms)[1]


def table_of(states: dict[str, MemberState], partition_count: int = 64, copies: int = 3) -> MemberTable:
    """Return a table with these members."""
    entries = [
        MemberEntry(name, 1, version, state, "", 1, name, 1)
        for name, state in states.items()
        for version in [int(state) + 1]
    ]
    return MemberTable.of(b"c" * 16, partition_count, copies, entries)


class FakeStore:
    """Records by partition; a root is computed when asked for."""

    def __init__(self, partition_count: int) -> None:
        self.warming = BitMap()
        self.stale = BitMap()
        self.shift = partition_shift(partition_count)
        self.records: list[dict[bytes, bytes]] = [{} for _ in range(partition_count)]
        self.ghosts: list[bytes] = [b""] * partition_count
        self.forgot = BitMap()
        self.snapshots = 0
        self.is_full = False
        self.refused: set[bytes] = set()

    def root(self, partition: int) -> int:
        """Return the XOR of the hashes of everything in a partition."""
        root = 0
        for key, record in self.records[partition].items():
            root ^= mmh3_x64_128_utupledigest(key + record, 0)[0]
        return root

    def put(self, key: bytes, record: bytes) -> int:
        """Store a record as a coordinator would."""
        partition = key_hash(key) >> self.shift
        self.records[partition][key] = record
        return partition

    def get(self, key: bytes) -> bytes | None:
        """Return the record of a key."""
        return self.records[key_hash(key) >> self.shift].get(key)

    def snapshot(self, partition: int) -> "FakeSnapshot":
        """Return the keys of now."""
        self.snapshots += 1
        return FakeSnapshot(self, partition, list(self.records[partition]))

    def merge_cold(self, partition: int, key: bytes, record: bytes, now_ms: int) -> int:
        """Merge."""
        if self.is_full:
            raise OutOfMemory("no room for a tombstone")
        if key in self.refused:
            return REFUSED
        held = self.records[partition].get(key)
        self.records[partition][key] = record if held is None else packed.merge(held, record)
        return 0

    def remembers(self, partition: int) -> bool:
        return bool(self.ghosts[partition])

    def has_forgotten(self, partition: int) -> bool:
        return partition in self.forgot

    def note_forgotten(self, partition: int) -> None:
        self.forgot.add(partition)

    def take_ghosts(self, partition: int, ghosts: bytes) -> None:
        """Keep them."""
        self.ghosts[partition] += ghosts

    def discard_older(self, partition: int, before_ms: int) -> None:
        """Drop what is older."""
        kept = self.records[partition]
        self.records[partition] = {key: each for key, each in kept.items() if _time_ms(each) >= before_ms}


def _time_ms(record: bytes) -> int:
    return int.from_bytes(record[5:13], "big") >> 16


@attrs.define
class FakeSnapshot:
    """A partition's keys at one moment."""

    store: FakeStore
    partition: int
    keys: list[bytes]

    def page(self, cursor: int, limit_bytes: int) -> tuple[list[bytes], bytes, int | None]:
        """Return the next records that fit, at least one."""
        found: list[bytes] = []
        size = 0
        while cursor < len(self.keys):
            key = self.keys[cursor]
            record = self.store.records[self.partition].get(key)
            if record is not None:
                if found and size + len(key) + len(record) > limit_bytes:
                    return found, b"", cursor
                found += [key, record]
                size += len(key) + len(record)
            cursor += 1
        return found, self.store.ghosts[self.partition], None


@attrs.define(eq=False)
class Member:
    """One node of the world; its transfer core's port."""

    world: "World"
    node_id: str
    table: MemberTable
    store: FakeStore
    random: Random
    load: float = 0.0
    clock_ahead: int = 0
    hints: dict[str, int] = attrs.field(factory=dict)
    notes: list[tuple[str, dict[str, object]]] = attrs.field(factory=list)
    ended: list[tuple[int, int]] = attrs.field(factory=list)
    placement: Placement = attrs.field(init=False)
    core: Transfer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.placement = Placement.from_table(self.table)
        self.core = Transfer(
            self,
            self.world.settings,
            self.store,
            lambda _partition, _key, record: record,
            lambda node_id: self.hints.get(node_id, 0),
            settle_s=self.world.settle_s,
            ended=lambda partition, since_ms: self.ended.append((partition, since_ms)),
        )

    @property
    def now_s(self) -> float:
        """The world's clock."""
        return self.world.now_s

    @property
    def now_ms(self) -> int:
        """The world's clock as a wall clock."""
        return START_MS + int(self.world.now_s * 1000)

    @property
    def hybrid(self) -> int:
        """A timestamp."""
        return (self.now_ms << 16) + self.clock_ahead

    @property
    def digest(self) -> int:
        """The digest of the table."""
        return self.placement.digest

    def is_up(self, node_id: str) -> bool:
        """Whether there is a link."""
        return self.world.linked(self.node_id, node_id)

    def ask(self, node_id: str, kind: int, fields: tuple[object, ...], waiter: Waiter, timeout_ms: int) -> None:
        """Send a question."""
        self.world.ask(self, node_id, kind, fields, waiter, timeout_ms)

    def reply(self, connection: int, message: Any) -> None:
        """Send an answer."""
        self.world.reply(connection, message)

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Keep a note."""
        self.notes.append((event, fields))

    def set_table(self, table: MemberTable) -> None:
        """Follow another table."""
        before, self.table, self.placement = self.placement, table, Placement.from_table(table)
        self.core.table_changed(before, self.placement)

    def noted(self, event: str) -> list[dict[str, object]]:
        """Return the notes of one kind."""
        return [fields for each, fields in self.notes if each == event]


@attrs.define(eq=False)
class World:
    """Nodes, wire and clock."""

    table: MemberTable
    settings: TransferConfig = attrs.field(factory=TransferConfig)
    settle_s: float = 0.0
    delay_s: float = 0.001
    now_s: float = 1.0
    members: dict[str, Member] = attrs.field(factory=dict)
    cut: set[frozenset[str]] = attrs.field(factory=set)
    lose_answers: int = 0
    tamper: Any = None
    pulls: list[tuple[str, str, Any]] = attrs.field(factory=list)
    answers: list[Any] = attrs.field(factory=list)
    bytes_moved: int = 0
    _events: list[tuple[float, int, Any]] = attrs.field(factory=list)
    _count: int = 0
    _open: dict[int, tuple[str, str, Waiter]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for name in self.table.entries:
            self.start(name)

    def start(self, name: str, *, empty: bool = False) -> Member:
        """Start a node, complete unless ``empty``."""
        count = self.table.partition_count
        self.members[name] = member = Member(self, name, self.table, FakeStore(count), Random(name))
        if empty:
            member.core.start_empty()
        return member

    def kill(self, name: str) -> None:
        """Take a node away, with its memory."""
        del self.members[name]
        for rid, (source, target, waiter) in list(self._open.items()):
            if name in (source, target):
                del self._open[rid]
                if source != name:
                    waiter.failed()

    def restart(self, name: str) -> Member:
        """Kill a node and start it empty."""
        if name in self.members:
            self.kill(name)
        return self.start(name, empty=True)

    def isolate(self, name: str) -> None:
        """Cut a node off from all others."""
        for other in self.table.entries:
            self.cut_link(name, other)

    def cut_link(self, first: str, second: str) -> None:
        """Cut one link; what is under way fails."""
        self.cut.add(frozenset((first, second)))
        for rid, (source, target, waiter) in list(self._open.items()):
            if {source, target} == {first, second}:
                del self._open[rid]
                waiter.failed()

    def linked(self, first: str, second: str) -> bool:
        """Whether two nodes reach each other."""
        return second in self.members and first in self.members and frozenset((first, second)) not in self.cut

    def set_table(self, table: MemberTable) -> None:
        """Give everyone a new table."""
        self.table = table
        for member in list(self.members.values()):
            member.set_table(table)

    def ask(self, member: Member, target: str, kind: int, fields: Any, waiter: Waiter, timeout_ms: int) -> None:
        """Carry a question."""
        self._count += 1
        rid = self._count
        self._open[rid] = (member.node_id, target, waiter)
        message = _through_the_wire((kind, rid, member.hybrid, *fields))
        self.pulls.append((member.node_id, target, message))
        self._later(self.delay_s, lambda: self._arrive(member.node_id, target, rid, message))
        self._later(timeout_ms / 1000, lambda: self._fail(rid))

    def reply(self, rid: int, message: Any) -> None:
        """Carry an answer."""
        if self.lose_answers:
            self.lose_answers -= 1
            return
        message = _through_the_wire(message)
        self.answers.append(message)
        self.bytes_moved += len(msgpack.packb(message))
        if self.tamper is not None:
            message = self.tamper(message)
        self._later(self.delay_s, lambda: self._answer(rid, message))

    def run(self, seconds: float) -> None:
        """Let time pass; every core ticks every 50 ms."""
        end_s = self.now_s + seconds
        for member in self.members.values():
            member.core.tick()
        next_tick_s = self.now_s + 0.05
        while self.now_s < end_s:
            due_s = min(next_tick_s, self._events[0][0] if self._events else end_s, end_s)
            self.now_s = max(self.now_s, due_s)
            while self._events and self._events[0][0] <= self.now_s:
                heappop(self._events)[2]()
            if self.now_s >= next_tick_s:
                next_tick_s += 0.05
                for member in list(self.members.values()):
                    member.core.tick()

    def run_until_complete(self, name: str, within_s: float) -> float:
        """Run until a node has nothing warming; return how long that took."""
        start_s = self.now_s
        while self.members[name].store.warming:
            if self.now_s - start_s > within_s:
                raise AssertionError(f"{name} still warming: {self.members[name].core.progress()}")
            self.run(0.05)
        return self.now_s - start_s

    def _later(self, delay_s: float, call: Any) -> None:
        self._count += 1
        heappush(self._events, (self.now_s + delay_s, self._count, call))

    def _arrive(self, source: str, target: str, rid: int, message: Any) -> None:
        if rid not in self._open:
            return
        member = self.members[target]
        if message[3] != member.digest:
            self._later(self.delay_s, lambda: self._fail(rid))
            return
        assert message[0] == PULL
        member.core.handlers[PULL](rid, source, message)

    def _answer(self, rid: int, message: Any) -> None:
        opened = self._open.pop(rid, None)
        if opened is not None:
            opened[2].answered(message)

    def _fail(self, rid: int) -> None:
        opened = self._open.pop(rid, None)
        if opened is not None:
            opened[2].failed()


def _through_the_wire(message: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(message, use_bin_type=True), raw=False, strict_map_key=False)


def fill(world: World, count: int, size: int = 16, names: str | None = None) -> list[bytes]:
    """Store records at the owners of each key (or those of them in ``names``)."""
    keys = [b"key %d" % number for number in range(count)]
    for key in keys:
        record = record_of(size)
        for member in world.members.values():
            partition = partition_at(member, key)
            if partition in member.placement.owned_by(member.node_id) and (names is None or member.node_id in names):
                member.store.put(key, record)
    return keys


def partition_at(member: Member, key: bytes) -> int:
    """Return the partition of a key."""
    return key_hash(key) >> member.store.shift


def assert_holds_its_share(world: World, name: str, keys: list[bytes]) -> None:
    """Demand that a node holds exactly those keys of which it is an owner."""
    member = world.members[name]
    owned = member.placement.owned_by(name)
    for key in keys:
        assert (member.store.get(key) is not None) == (partition_at(member, key) in owned), key


def endings(world: World, name: str) -> dict[Ending, int]:
    """Return how many partitions of a node ended in which way."""
    return {ending: count for ending, count in world.members[name].core.plan.endings.items() if count}
