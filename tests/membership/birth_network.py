"""A tiny network of starting nodes under virtual time: loss, delay, reordering, kills and restarts, all from one seed.

Requests and replies are separate deliveries on one heap, so that any of them may be late or lost while the process at
either end has been killed, or killed and started again without memory. Only the faults are random; the machines are
the real ones. `Network.check` runs after every event and knows more than any process does: it has seen every lock.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial

import attrs
import msgpack

from dynacache.membership.birth import Address, AskState, Birth, Born, Failed
from dynacache.membership.birth_messages import Asking, Known, Lock, Standing, decode, encode
from dynacache.placement.birth_record import BirthRecord, Incarnations

NEVER_ANSWERS_S = 1.0
TICK_S = 0.1


@attrs.frozen
class Faults:
    """What goes wrong until `until_s`."""

    until_s: float = 4.0
    loss: float = 0.2
    slow: float = 0.1
    slow_s: float = 2.0
    kills_per_s: float = 2.0
    away_s: float = 1.0
    clock_back: float = 0.2
    strike: float = 0.5  # how often a process that has just locked, or learned the outcome, is killed at once


@attrs.define
class Machine:
    """An address that processes of one node live at, one after the other."""

    node_id: str
    address: Address
    founders: int | None
    seeds: tuple[Address, ...]
    birth: Birth | None = None
    starts: int = 0


@attrs.define
class Network:
    """Machines, what is under way between them, and what has been seen of their agreement."""

    machines: list[Machine]
    random: random.Random
    faults: Faults
    now_s: float = 0.0
    records: dict[bytes, BirthRecord] = attrs.field(factory=dict)
    complete: list[tuple[str, int]] = attrs.field(factory=list)
    chosen: BirthRecord | None = None
    kills: int = 0
    kills_after_choice: int = 0
    _events: list[tuple[float, int, Callable[[], None]]] = attrs.field(factory=list)
    _witnesses: list[Birth] = attrs.field(factory=list)
    _struck: list[Birth] = attrs.field(factory=list)
    _sequence: int = 0
    _locked: dict[Incarnations, dict[str, Lock]] = attrs.field(factory=dict)

    def run(self) -> None:
        """Faults until their end, then peace until everyone knows the cluster."""
        for machine in self.machines:
            self.later(self.random.uniform(0, 0.5), partial(self.start, machine))
        if self.faults.kills_per_s:
            self.later(self.random.expovariate(self.faults.kills_per_s), self.kill_someone)
        while self._events and (self.now_s < self.faults.until_s or not self.settled()):
            self.now_s, _, event = heapq.heappop(self._events)
            event()
            assert self.now_s < self.faults.until_s + 30, [
                machine.birth and machine.birth.waiting() for machine in self.machines
            ]

    def settled(self) -> bool:
        """Whether every machine has a process that knows the outcome."""
        return all(machine.birth is not None and machine.birth.outcome is not None for machine in self.machines)

    def later(self, delay_s: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        self._sequence += 1
        heapq.heappush(self._events, (self.now_s + delay_s, self._sequence, event))

    def start(self, machine: Machine) -> None:
        """Start a process with an empty memory."""
        machine.starts += 1
        incarnation = machine.starts * 10
        if machine.starts > 1 and self.random.random() < self.faults.clock_back:
            incarnation = 9 - machine.starts % 9
        birth = Birth(
            node_id=machine.node_id,
            incarnation=incarnation,
            host=machine.address[0],
            port=machine.address[1],
            founders=machine.founders,
            seeds=machine.seeds,
        )
        machine.birth = birth
        self.check(machine, birth)
        self.tick(machine, birth)

    def tick(self, machine: Machine, birth: Birth) -> None:
        """Let a process ask whom it wants to ask, and come back soon, while it lives."""
        if machine.birth is not birth:
            return
        for ask in birth.tick(self.now_s):
            self.ask(machine, birth, ask)
        self.check(machine, birth)
        self.later(TICK_S * self.random.uniform(0.5, 1.5), lambda: self.tick(machine, birth))

    def ask(self, machine: Machine, birth: Birth, ask: AskState) -> None:
        """Deliver a request, or not, and its reply, or not."""
        wire = msgpack.unpackb(msgpack.packb(ask.message))

        def unreachable() -> None:
            if machine.birth is birth:
                birth.handle_unreachable(self.now_s, ask.address, "no answer")

        def arrive() -> None:
            server = next(item for item in self.machines if item.address == ask.address)
            if server.birth is None:
                self.later(0.01, unreachable)
                return
            reply = msgpack.unpackb(msgpack.packb(server.birth.handle_request(self.now_s, wire)))
            self.check(server, server.birth)
            if self.is_lost():
                self.later(NEVER_ANSWERS_S, unreachable)
            else:
                self.later(self.delay_s(), lambda: answered(reply))

        def answered(reply: object) -> None:
            if machine.birth is birth:
                birth.handle_reply(self.now_s, ask.address, reply)
                self.check(machine, birth)

        if self.is_lost():
            self.later(NEVER_ANSWERS_S, unreachable)
        else:
            self.later(self.delay_s(), arrive)

    def is_lost(self) -> bool:
        """Whether the next message gets lost."""
        return self.now_s < self.faults.until_s and self.random.random() < self.faults.loss

    def delay_s(self) -> float:
        """How long the next message takes."""
        if self.now_s < self.faults.until_s and self.random.random() < self.faults.slow:
            return self.random.uniform(0, self.faults.slow_s)
        return self.random.uniform(0.001, 0.02)

    def kill_someone(self) -> None:
        """Kill one process, if the decision outlives it, and start its machine again later."""
        if self.now_s >= self.faults.until_s:
            return
        machine = self.random.choice(self.machines)
        if machine.birth is not None and self.is_survived(machine):
            self.kill(machine, self.random.uniform(0.001, self.faults.away_s))
        self.later(self.random.expovariate(self.faults.kills_per_s), self.kill_someone)

    def kill(self, machine: Machine, away_s: float) -> None:
        """End a machine's process with all it knows; another comes after `away_s`."""
        machine.birth = None
        self.kills += 1
        self.kills_after_choice += self.chosen is not None
        self.later(away_s, lambda: self.start(machine))

    def is_survived(self, victim: Machine) -> bool:
        """Whether the fault model holds without `victim`: somebody is left who was there or has heard since.

        Being there counts whatever the machine knows, so that a machine that should know and does not is found out.
        """
        others = (machine for machine in self.machines if machine is not victim and machine.birth is not None)
        return self.chosen is None or any(
            any(machine.birth is witness for witness in self._witnesses) or self.is_informed(machine)
            for machine in others
        )

    def is_informed(self, machine: Machine) -> bool:
        """Whether a process holds the decision or its lock."""
        assert machine.birth is not None
        message = observe(self.now_s, machine.birth)
        if isinstance(message, Known):
            return message.record == self.chosen
        locks = [message.lock, message.promise.reported if message.promise else None]
        return any(lock is not None and record_of(machine.birth, lock) == self.chosen for lock in locks)

    def check(self, machine: Machine, birth: Birth) -> None:
        """Assert that there is one record at most, and follow when it became certain."""
        outcome = birth.outcome
        self.strike(machine, birth)
        assert not isinstance(outcome, Failed), outcome
        if outcome is not None:
            self.records[outcome.record.cluster_id] = outcome.record
            assert len(self.records) == 1, f"two clusters: {self.records}"
            assert self.chosen in (None, outcome.record), f"chosen {self.chosen}, born {outcome.record}"
            self.choose(outcome.record)
            assert outcome.table.entries[machine.node_id] == outcome.entry
            if isinstance(outcome, Born):
                assert (machine.node_id, outcome.entry.generation) in outcome.record.founders
                self.complete.append((machine.node_id, outcome.entry.generation))
            return
        message = observe(self.now_s, birth)
        if isinstance(message, Standing) and message.lock is not None:
            locked = self._locked.setdefault(message.lock.round, {})
            locked[machine.node_id] = message.lock
            if len(locked) == len(message.lock.round) and self.chosen is None:
                self.choose(record_of(birth, message.lock))

    def strike(self, machine: Machine, birth: Birth) -> None:
        """Kill where it hurts most: just after a process has come to know something that others may not know yet."""
        message = observe(self.now_s, birth)
        weighty = isinstance(message, Known) or message.lock is not None
        if not weighty or any(birth is known for known in self._struck) or self.now_s >= self.faults.until_s:
            return
        self._struck.append(birth)

        def kill() -> None:
            if machine.birth is birth and self.is_survived(machine):
                self.kill(machine, self.random.uniform(0.001, self.faults.away_s))

        if self.random.random() < self.faults.strike:
            self.later(self.random.choice((0.0, 0.005, 0.05)), kill)

    def choose(self, record: BirthRecord) -> None:
        """Note the decision, and which of its founders live to see it: their word must be enough from now on."""
        if self.chosen is None:
            self.chosen = record
            living = (machine.birth for machine in self.machines if machine.birth is not None)
            self._witnesses = [birth for birth in living if (birth.node_id, birth.incarnation) in record.founders]


def observe(now_s: float, birth: Birth) -> Known | Standing:
    """What a process would tell a stranger."""
    message = decode(birth.handle_request(now_s, encode(Asking("observer"))))
    assert isinstance(message, Known | Standing)
    return message


def record_of(birth: Birth, lock: Lock) -> BirthRecord:
    """The record that a lock stands for."""
    return BirthRecord.of_candidates(lock.value, birth.partition_count, birth.replication_factor)


def network(
    seed: int, machine_count: int, founders: int, faults: Faults | None = None, everyone_is_seed: bool = False
) -> Network:
    """Build machines `n0`, `n1`, ...: each has the first as a seed, or all, and the first has none or all."""
    draw = random.Random(seed)
    addresses = [(f"10.0.0.{index}", 7400) for index in range(machine_count)]
    machines = []
    for index, address in enumerate(addresses):
        seeds = addresses if everyone_is_seed else addresses[: min(index, 1)]
        machines.append(Machine(f"n{index}", address, founders, tuple(seeds)))
    return Network(machines, draw, faults or Faults())
