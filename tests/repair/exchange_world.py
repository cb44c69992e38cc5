"""Exchange cores on a fake wire: real stores, one virtual clock, messages that a test may lose, repeat or delay.

What: ``World`` holds some owners of every partition, each with an ``Engine`` and an ``Exchange``, and a wire between
them. Messages are packed and unpacked on their way and their bytes counted. Questions time out.

Invariant: a question is answered or failed at most once; time moves only in ``run``.
"""

from heapq import heappop, heappush
from random import Random
from typing import Any

import attrs
import msgpack

from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.placement.partitions import key_hash, partition_shift
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.repair.exchange import Exchange
from dynacache.repair.ports import Waiter
from dynacache.storage.engine import Engine
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer

START_MS = 1_700_000_000_000
PARTITIONS = 16


def table_of(states: dict[str, MemberState], copies: int = 3, partitions: int = PARTITIONS) -> MemberTable:
    """Return a member table."""
    entries = [MemberEntry(name, 1, int(state) + 1, state, "", 1, name, 1) for name, state in states.items()]
    return MemberTable.of(b"c" * 16, partitions, copies, entries)


class Store(Engine):
    """An engine of which a test may replace a call."""


@attrs.define(eq=False, slots=False)
class Owner:
    """One node, and its port."""

    world: "World"
    node_id: str
    engine: Store
    issuer: ActorIssuer
    random: Random
    load: float = 0.0
    placement: Placement = attrs.field(init=False)
    exchange: Exchange = attrs.field(init=False)
    notes: list[tuple[str, dict[str, object]]] = attrs.field(factory=list)
    next_tick_s: float = 0.0
    waiting: dict[int, Waiter] = attrs.field(factory=dict)

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.world.now_s

    @property
    def now_ms(self) -> int:
        """Hybrid milliseconds."""
        return START_MS + int(self.world.now_s * 1000)

    @property
    def hybrid(self) -> int:
        """The hybrid timestamp."""
        return self.now_ms << 16

    @property
    def digest(self) -> int:
        """The table's digest."""
        return self.placement.digest

    def is_up(self, node_id: str) -> bool:
        """Tell whether a peer can be reached."""
        return node_id in self.world.owners and not self.world.is_cut(self.node_id, node_id)

    def ask(self, node_id: str, kind: int, fields: tuple[object, ...], waiter: Waiter, timeout_ms: int) -> None:
        """Send a question."""
        self.world.ask(self, node_id, kind, fields, waiter, timeout_ms)

    def reply(self, connection: int, message: Any) -> None:
        """Send an answer."""
        self.world.reply(connection, message)

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Keep a note."""
        self.notes.append((event, fields))

    # What a client or a coordinator would do

    def partition(self, key: bytes) -> int:
        """Return a key's partition."""
        return key_hash(key) >> partition_shift(self.placement.partition_count)

    def make(self, key: bytes, value: bytes | None, ttl_ms: int = 0) -> bytes:
        """Write (or delete, for None) here, and return the record that would travel."""
        partition = self.partition(key)
        old = self.engine.get(partition, key, self.now_ms)
        if value is None:
            local, sent = packed.delete(old, self.issuer, self.hybrid, self.now_ms)
        else:
            expire_ms = self.now_ms + ttl_ms if ttl_ms else 0
            local, sent = packed.write(old, self.issuer, self.hybrid, expire_ms, packed.RAW, value, self.now_ms)
        self.engine.put(partition, key, local)
        return sent

    def merge(self, key: bytes, record: bytes) -> None:
        """Take a record from a coordinator."""
        fresh = self.fresh(self.partition(key), key, record)
        if fresh is not None:
            self.engine.merge(self.partition(key), key, fresh, self.now_ms)

    def fresh(self, partition: int, key: bytes, record: bytes) -> bytes | None:
        """As ``Shared.not_superseded``."""
        if self.engine.peek(partition, key) is not None:
            return record
        time = self.engine.superseded_before(partition, key)
        return packed.since(record, time) if time else record

    def held(self, key: bytes) -> bytes | None:
        """Return the record as other nodes would see it."""
        record = self.engine.peek(self.partition(key), key)
        return None if record is None else packed.strip_local(record)


@attrs.define(eq=False, slots=False)
class World:
    """Owners of everything, and the wire between them."""

    names: tuple[str, ...] = ("a", "b")
    repair: RepairConfig = attrs.field(factory=RepairConfig)
    storage: StorageSettings = attrs.field(factory=StorageSettings)
    partitions: int = PARTITIONS
    delay_s: float = 0.001
    seed: int = 0
    loss: float = 0.0
    repeat: float = 0.0
    jitter_s: float = 0.0
    copies: int = 3
    now_s: float = 100.0
    owners: dict[str, Owner] = attrs.field(factory=dict)
    cut: set[frozenset[str]] = attrs.field(factory=set)
    kinds: list[int] = attrs.field(factory=list)
    sizes: list[int] = attrs.field(factory=list)
    messages: list[Any] = attrs.field(factory=list)
    """What was sent since ``forget_traffic``, by kind, by bytes, and in full."""
    refused: int = 0
    table: MemberTable = attrs.field(init=False)
    _heap: list[tuple[float, int, Any]] = attrs.field(factory=list)
    _count: int = 0
    _wire: Random = attrs.field(init=False)
    _asked: dict[int, tuple[str, str, int]] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Start the owners, complete and empty."""
        self._wire = Random(self.seed)
        self.table = table_of(dict.fromkeys(self.names, MemberState.NORMAL), self.copies, self.partitions)
        for index, name in enumerate(self.names):
            self.start(name, index + 1)

    def start(self, name: str, incarnation: int) -> Owner:
        """Start an owner with an empty store."""
        engine = Store(self.storage, self.partitions, Random(name))
        engine.hash_seed = 77
        owner = Owner(self, name, engine, ActorIssuer(incarnation), Random(f"{self.seed}{name}"))
        owner.placement = Placement.from_table(self.table)
        owner.exchange = Exchange(owner, self.repair, engine, owner.fresh, self.storage.gc_grace_max_ms)
        engine.confirmed = owner.exchange.is_clean
        self.owners[name] = owner
        return owner

    def set_table(self, table: MemberTable) -> None:
        """Give every owner another table."""
        self.table = table
        for owner in self.owners.values():
            before, owner.placement = owner.placement, Placement.from_table(table)
            owner.exchange.table_changed(before, owner.placement)

    def write(self, key: bytes, value: bytes | None, at: str, reaches: tuple[str, ...] | None = None) -> None:
        """Write at one owner; the record reaches some others (all by default) at once."""
        record = self.owners[at].make(key, value)
        for name, owner in self.owners.items():
            if name != at and (reaches is None or name in reaches):
                owner.merge(key, record)

    def is_cut(self, first: str, second: str) -> bool:
        """Tell whether two owners cannot reach each other."""
        return frozenset((first, second)) in self.cut

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_s = self.now_s + seconds
        for _ in range(1_000_000):
            for owner in list(self.owners.values()):
                if owner.next_tick_s <= self.now_s:
                    self._tick(owner)
            next_s = min(owner.next_tick_s for owner in self.owners.values())
            if self._heap:
                next_s = min(next_s, self._heap[0][0])
            if next_s > end_s:
                break
            self.now_s = max(self.now_s, next_s)
            while self._heap and self._heap[0][0] <= self.now_s:
                self._deliver(heappop(self._heap)[2])
        else:
            raise AssertionError("the world does not come to rest")
        self.now_s = end_s

    def equal(self) -> bool:
        """Tell whether all owners witnessed the same."""
        for owner in self.owners.values():
            while not owner.engine.sweep(owner.now_ms):
                pass
        first, *rest = [list(owner.engine.roots) for owner in self.owners.values()]
        return all(roots == first for roots in rest)

    def counters(self, name: str) -> Any:
        """Return an owner's counters."""
        return self.owners[name].exchange.ground.counters

    def total(self, counter: str) -> int:
        """Return a counter's sum over the owners."""
        return sum(getattr(self.counters(name), counter) for name in self.owners)

    def forget_traffic(self) -> None:
        """Begin to count messages anew."""
        self.kinds.clear()
        self.sizes.clear()
        self.messages.clear()

    # The wire

    def ask(self, owner: Owner, to: str, kind: int, fields: Any, waiter: Waiter, timeout_ms: int) -> None:
        """Carry a question."""
        self._count += 1
        rid = self._count
        owner.waiting[rid] = waiter
        self._asked[rid] = (owner.node_id, to, kind)
        heappush(self._heap, (self.now_s + timeout_ms / 1000, self._next(), ("timeout", owner.node_id, rid)))
        self._carry((kind, rid, owner.hybrid, *fields), ("question", owner.node_id, to, rid))

    def reply(self, connection: int, message: Any) -> None:
        """Carry an answer; the connection is the question's number here."""
        source, to, _ = self._asked[connection]
        self._carry(message, ("answer", to, source, connection))

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _carry(self, message: Any, head: tuple[Any, ...]) -> None:
        body = msgpack.packb(message, use_bin_type=True)
        self.kinds.append(message[0])
        self.sizes.append(len(body))
        self.messages.append(message)
        copies = 0 if self._wire.random() < self.loss else 1
        copies += self._wire.random() < self.repeat
        for _ in range(copies):
            at_s = self.now_s + self.delay_s + self.jitter_s * self._wire.random()
            heappush(self._heap, (at_s, self._next(), (*head, body)))

    def _deliver(self, item: Any) -> None:
        what, source = item[0], item[1]
        if what == "timeout":
            waiter = self.owners[source].waiting.pop(item[2], None) if source in self.owners else None
            if waiter is not None:
                waiter.failed()
            return
        _, source, to, rid, body = item
        if to not in self.owners or self.is_cut(source, to):
            return
        owner = self.owners[to]
        message = msgpack.unpackb(body, raw=False, strict_map_key=False)
        if what == "answer":
            waiter = owner.waiting.pop(rid, None)
            if waiter is not None:
                waiter.answered(message)
        elif message[3] != owner.digest:
            self.refused += 1
            waiter = self.owners[source].waiting.pop(rid, None) if source in self.owners else None
            if waiter is not None:
                waiter.failed()
        else:
            owner.exchange.handlers[message[0]](rid, source, message)
        self._tick(owner)

    def _tick(self, owner: Owner) -> None:
        owner.exchange.tick()
        owner.engine.collect(owner.now_ms)
        due_s = min(owner.exchange.next_due_s(), self.now_s + 0.5)
        owner.next_tick_s = max(self.now_s + 0.05, due_s)
