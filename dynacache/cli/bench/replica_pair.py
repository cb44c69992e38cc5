"""Two replicas of everything in one process: real stores and exchange cores, a wire that counts, time that is given.

What: a `ReplicaPair` holds two owners of all partitions. Messages between them are framed and parsed as on a socket,
and their bytes counted by kind. `run` lets virtual time pass; `cpu_s` is the processor time that both sides took in it.

Invariant: deterministic but for the processor time. A question is answered within a virtual millisecond or so, and
nothing is ever lost; the two clocks differ by `SKEW_MS`, as those of two machines do.

Why not two processes: a million entries, hours between two walks and one difference among them are then measured within
a minute, and no socket or scheduler stands between the cores and the clock.
"""

import time
from collections import Counter
from heapq import heappop, heappush
from random import Random
from typing import Any

import attrs

from dynacache.config import RepairConfig, StorageSettings
from dynacache.events import ConnectionId, Message
from dynacache.placement.partitions import key_hash, partition_of
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.repair.exchange import Exchange
from dynacache.repair.ports import Waiter
from dynacache.storage.engine import Engine
from dynacache.types import NodeId
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import RECORDS, WRITE_ACK

__all__ = ["PARTITIONS", "SKEW_MS", "START_MS", "Replica", "ReplicaPair"]

PARTITIONS = 1024
SKEW_MS = 20
START_MS = 1_700_000_000_000
_RAW = packed.RAW
_DELAY_S = 0.0005
_TICK_S = 0.5
_LEAST_TICK_S = 0.05
_HASH_SEED = 77
_RECORDS_FIELD = 4


@attrs.define(eq=False)
class Replica:
    """One of the two, and the port of its exchange core."""

    pair: "ReplicaPair"
    node_id: NodeId
    engine: Engine
    issuer: ActorIssuer
    random: Random
    placement: Placement
    skew_ms: int
    load: float = 0.0
    next_tick_s: float = 0.0
    exchange: Exchange = attrs.field(init=False)
    waiting: dict[int, Waiter] = attrs.field(factory=dict)

    @property
    def now_s(self) -> float:
        """Monotonic seconds."""
        return self.pair.now_s

    @property
    def now_ms(self) -> int:
        """This replica's clock."""
        return START_MS + self.skew_ms + int(self.pair.now_s * 1000)

    @property
    def hybrid(self) -> int:
        """The hybrid timestamp."""
        return self.now_ms << 16

    @property
    def digest(self) -> int:
        """The member table's digest."""
        return self.placement.digest

    def is_up(self, node_id: NodeId) -> bool:
        """Always."""
        return True

    def ask(self, node_id: NodeId, kind: int, fields: tuple[object, ...], waiter: Waiter, timeout_ms: int) -> None:
        """Send a question to the other replica."""
        rid = self.pair.number()
        self.waiting[rid] = waiter
        self.pair.carry((kind, rid, self.hybrid, *fields), self, is_answer=False)

    def reply(self, connection: ConnectionId, message: Message) -> None:
        """Send an answer; there is one connection."""
        self.pair.carry(message, self, is_answer=True)

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Nobody reads notes here."""

    def write(self, key: bytes, value: bytes, ttl_ms: int = 0) -> tuple[int, bytes]:
        """Write here; return the partition and the record that would travel."""
        partition = partition_of(key_hash(key), PARTITIONS)
        expire_ms = self.now_ms + ttl_ms if ttl_ms else 0
        old = self.engine.get(partition, key, self.now_ms)
        local, sent = packed.write(old, self.issuer, self.hybrid, expire_ms, _RAW, value, self.now_ms)
        self.engine.put(partition, key, local)
        return partition, sent

    def take(self, partition: int, key: bytes, record: bytes) -> None:
        """Take a record from a coordinator, as a replica does."""
        fresh = self.fresh(partition, key, record)
        if fresh is not None:
            self.engine.merge(partition, key, fresh, self.now_ms)

    def fresh(self, partition: int, key: bytes, record: bytes) -> bytes | None:
        """What of a record is not superseded by what is remembered here."""
        if self.engine.peek(partition, key) is not None:
            return record
        remembered = self.engine.superseded_before(partition, key)
        return packed.since(record, remembered) if remembered else record

    @property
    def counters(self) -> Any:
        """What the exchange core has counted."""
        return self.exchange.ground.counters


@attrs.define(eq=False)
class ReplicaPair:
    """Both replicas, and the wire between them."""

    limit_bytes: int
    repair: RepairConfig = attrs.field(factory=RepairConfig)
    now_s: float = 100.0
    messages: "Counter[int]" = attrs.field(factory=Counter)
    """Messages by kind, and their bytes below, since `forget`."""
    message_bytes: int = 0
    record_bytes: int = 0
    """Keys and records among the bytes: what has to travel."""
    cpu_s: float = 0.0
    replicas: list[Replica] = attrs.field(factory=list)
    _heap: list[tuple[float, int, Replica, bool, bytes]] = attrs.field(factory=list)
    _number: int = 0

    def __attrs_post_init__(self) -> None:
        """Make the replicas, complete and empty."""
        names = ("a", "b")
        entries = [MemberEntry(name, 1, 1, MemberState.NORMAL, "", 1, name, 1) for name in names]
        placement = Placement.from_table(MemberTable.of(b"c" * 16, PARTITIONS, 3, entries))
        storage = StorageSettings(limit_bytes=self.limit_bytes)
        for position, name in enumerate(names):
            engine = Engine(storage, PARTITIONS, Random(name))
            engine.hash_seed = _HASH_SEED
            issuer = ActorIssuer(position + 1)
            replica = Replica(self, name, engine, issuer, Random(f"r{name}"), placement, position * SKEW_MS)
            replica.exchange = Exchange(replica, self.repair, engine, replica.fresh, storage.gc_grace_max_ms)
            engine.confirmed = replica.exchange.is_clean
            self.replicas.append(replica)

    def write_both(self, key: bytes, value: bytes, ttl_ms: int = 0) -> None:
        """Write at the first replica; the record reaches the second at once."""
        first, second = self.replicas
        partition, record = first.write(key, value, ttl_ms)
        second.take(partition, key, record)

    def forget(self) -> None:
        """Count messages, bytes and processor time anew."""
        self.messages.clear()
        self.message_bytes = self.record_bytes = 0
        self.cpu_s = 0.0

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        began_s = time.process_time()
        end_s = self.now_s + seconds
        while True:
            for replica in self.replicas:
                if replica.next_tick_s <= self.now_s:
                    self._tick(replica)
            next_s = min(replica.next_tick_s for replica in self.replicas)
            if self._heap:
                next_s = min(next_s, self._heap[0][0])
            if next_s > end_s:
                break
            self.now_s = max(self.now_s, next_s)
            while self._heap and self._heap[0][0] <= self.now_s:
                self._deliver(*heappop(self._heap)[2:])
        self.now_s = end_s
        self.cpu_s += time.process_time() - began_s

    def settle(self) -> None:
        """Let stores do what they do in the turns of an idle hour: trees grow as deep as the data want them."""
        for replica in self.replicas:
            turns = 2 * PARTITIONS + replica.engine.statistics().entries // 1000
            for _ in range(turns):
                replica.engine.collect(replica.now_ms, 2_000)

    def equal(self) -> bool:
        """Whether both have witnessed the same."""
        for replica in self.replicas:
            while not replica.engine.sweep(replica.now_ms):
                pass
        first, second = self.replicas
        return first.engine.roots == second.engine.roots

    def total(self, counter: str) -> int:
        """A counter of both exchange cores."""
        return sum(getattr(replica.counters, counter) for replica in self.replicas)

    def number(self) -> int:
        """A number that was not used before."""
        self._number += 1
        return self._number

    def carry(self, message: Message, sender: Replica, *, is_answer: bool) -> None:
        """Put a message on the wire to the other replica."""
        frame = frame_of_messages([message])
        self.messages[message[0]] += 1
        self.message_bytes += len(frame)
        if message[0] in (RECORDS, WRITE_ACK):
            self.record_bytes += sum(map(len, message[_RECORDS_FIELD]))
        first, second = self.replicas
        receiver = second if sender is first else first
        heappush(self._heap, (self.now_s + _DELAY_S, self.number(), receiver, is_answer, frame))

    def _deliver(self, receiver: Replica, is_answer: bool, frame: bytes) -> None:
        for message in FrameReader().feed(frame):
            if is_answer:
                receiver.waiting.pop(message[1]).answered(message)
            else:
                sender = next(each.node_id for each in self.replicas if each is not receiver)
                receiver.exchange.handlers[message[0]](1, sender, message)
        self._tick(receiver)

    def _tick(self, replica: Replica) -> None:
        replica.exchange.tick()
        replica.engine.collect(replica.now_ms)
        due_s = min(replica.exchange.next_due_s(), self.now_s + _TICK_S)
        replica.next_tick_s = max(self.now_s + _LEAST_TICK_S, due_s)
