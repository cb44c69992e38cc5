"""A few replicas of one key, a network that misbehaves, and what each of them truly knows.

The world runs the packed functions and, beside them, two things they are checked against at every step: the kernel on
decoded states, and an oracle that knows no clocks at all: each replica's knowledge is the set of all updates in its
causal past and the set of those that live, so that merging is plain set algebra. A ledger of all dots fails the run the
moment one is minted twice.

`shortcut` plants a bug: "resume" takes up an own base that came back by merge, "restart" keeps the incarnation when the
memory is lost.
"""

from collections.abc import Callable
from typing import Any

import attrs
import msgpack

from dynacache.datatypes.counter import increment
from dynacache.errors import TooManySiblings, WrongType
from dynacache.versioning import kernel, packed
from dynacache.versioning.actors import ActorIssuer, Dot
from dynacache.versioning.context import Context, make_context, parse_context
from dynacache.versioning.kernel import COUNTER, EMPTY, TOMBSTONE, State
from dynacache.versioning.layout import decode, encode

START_MS = 1_700_000_000_000
FINGERPRINT = 77


class DotMintedTwice(AssertionError):
    """Two updates have the same dot: one of them will be lost."""


@attrs.frozen
class Operation:
    """One step of a trace; every number is taken modulo what there is to choose from."""

    kind: str
    replica: int
    other: int = 0
    amount: int = 0
    flag: bool = False


@attrs.frozen
class Knowledge:
    """What a replica knows: every update in its causal past, and those of them that live."""

    history: frozenset[int] = frozenset()
    live: frozenset[int] = frozenset()

    def merge(self, other: "Knowledge") -> "Knowledge":
        """Join by set algebra: what one side has seen and does not hold is gone."""
        live = (self.live & other.live) | (self.live - other.history) | (other.live - self.history)
        return Knowledge(self.history | other.history, live)


@attrs.define
class Message:
    """A record under way to a replica, with what its sender knew."""

    target: int
    record: bytes
    knowledge: Knowledge


@attrs.define
class World:
    """Replicas of one key. `record` of each is None while it holds nothing."""

    count: int = 3
    shortcut: str = ""
    records: list[bytes | None] = attrs.field(init=False)
    knowledge: list[Knowledge] = attrs.field(init=False)
    issuers: list[ActorIssuer] = attrs.field(init=False)
    network: list[Message] = attrs.Factory(list)
    tokens: list[tuple[bytes, frozenset[int]]] = attrs.Factory(list)
    ledger: dict[Dot, int] = attrs.Factory(dict)
    deltas: dict[int, int] = attrs.Factory(dict)
    produced: list[bytes] = attrs.Factory(list)
    now_ms: int = START_MS
    updates: int = 0

    def __attrs_post_init__(self) -> None:
        self.records = [None] * self.count
        self.knowledge = [Knowledge()] * self.count
        self.issuers = [ActorIssuer(1000 * (replica + 1)) for replica in range(self.count)]

    def run(self, operations: list[Operation]) -> "World":
        """Perform a trace, checking at each step; raises AssertionError at the first breach."""
        for operation in operations:
            replica = operation.replica % self.count
            getattr(self, f"do_{operation.kind}")(replica, operation)
            self._check(replica)
        return self

    # Updates.

    def do_write(self, replica: int, operation: Operation) -> None:
        """Set a value, with or without a context, with or without an expiry."""
        token = self._token(operation)
        context = None if token is None else parse_context(token[0], FINGERPRINT)
        expire_ms = self.now_ms + operation.amount if operation.amount else 0
        flags = packed.RAW if operation.other % 3 == 0 else 0
        self._update(
            replica,
            token,
            lambda old, time: packed.write(
                old, self.issuers[replica], time, expire_ms, flags, msgpack.packb(time & 0xFFFF), self.now_ms, context
            ),
        )

    def do_delete(self, replica: int, operation: Operation) -> None:
        """Delete, blind or not, with or without a context."""
        token = self._token(operation)
        context = None if token is None else parse_context(token[0], FINGERPRINT)
        blind = operation.amount % 2 == 1
        self._update(
            replica,
            token,
            lambda old, time: packed.delete(old, self.issuers[replica], time, self.now_ms, context, blind),
        )

    def do_increment(self, replica: int, operation: Operation) -> None:
        """Add to the counter; other updates that vanish by it may only be its own last cell and spent tombstones."""
        old, before = self.records[replica], self.knowledge[replica]
        expire_ms = self.now_ms + operation.amount if operation.flag else 0
        self.updates += 1
        time = self._time(replica)
        try:
            local, wire, _ = increment(old, self.issuers[replica], operation.amount - 50, time, expire_ms, self.now_ms)
        except WrongType:
            return
        self.deltas[self.updates] = operation.amount - 50
        state = decode(local)
        dot = self._mint(state, time)
        held = {} if old is None else kernel.expire(decode(old), self.now_ms).dots
        for gone in held.keys() - state.dots.keys():
            assert held[gone].kind == TOMBSTONE or (held[gone].kind == COUNTER and gone[0] == dot[0])
        after = Knowledge(before.history | {self.updates}, self._live(state))
        self._publish(replica, local, wire, after)

    def do_touch(self, replica: int, operation: Operation) -> None:
        """Raise the expiry of what is visible and send the result to the others."""
        old = self.records[replica]
        if old is None:
            return
        cleaned = packed.clean(old, self.now_ms)
        if cleaned is None:
            return
        before = kernel.resolve(decode(cleaned).dots, self.now_ms)
        expire_ms = self.now_ms + operation.amount if operation.flag else 0
        touched = packed.touch(cleaned, expire_ms, None)
        assert kernel.resolve(decode(touched).dots, self.now_ms) == before
        self._publish(replica, touched, packed.strip_local(touched), self.knowledge[replica])

    # The network and what befalls replicas.

    def do_deliver(self, _: int, operation: Operation) -> None:
        """Deliver any message that is under way, in any order; with `flag` it stays under way, to come again."""
        if self.network:
            at = operation.other % len(self.network)
            message = self.network[at] if operation.flag else self.network.pop(at)
            self._merge(message.target, message.record, message.knowledge)
            self._check(message.target)

    def do_lose(self, _: int, operation: Operation) -> None:
        """Lose a message."""
        if self.network:
            self.network.pop(operation.other % len(self.network))

    def do_exchange(self, replica: int, operation: Operation) -> None:
        """Repair: two replicas send each other what they hold."""
        other = operation.other % self.count
        mine, theirs = self.records[replica], self.records[other]
        mine_known, theirs_known = self.knowledge[replica], self.knowledge[other]
        if mine is not None:
            self._merge(other, packed.strip_local(mine), mine_known)
            self._check(other)
        if theirs is not None:
            self._merge(replica, packed.strip_local(theirs), theirs_known)

    def do_read(self, replica: int, _: Operation) -> None:
        """Take a version token, to write with it later."""
        token = make_context(self.records[replica], FINGERPRINT)
        self.tokens.append((token, self.knowledge[replica].history))

    def do_evict(self, replica: int, _: Operation) -> None:
        """Drop the record."""
        self.records[replica] = None
        self.knowledge[replica] = Knowledge()

    def do_restart(self, replica: int, operation: Operation) -> None:
        """Lose the memory and start again, as a new incarnation."""
        self.do_evict(replica, operation)
        step = 0 if self.shortcut == "restart" else 1
        self.issuers[replica] = ActorIssuer(self.issuers[replica].incarnation + step)

    def do_advance(self, _: int, operation: Operation) -> None:
        """Let time pass for all."""
        self.now_ms += operation.amount

    def do_clean(self, replica: int, operation: Operation) -> None:
        """Clean up what has expired."""
        record = self.records[replica]
        if record is not None:
            remains = packed.clean(record, self.now_ms)
            expired = kernel.expire(decode(record), self.now_ms)
            if remains is None:
                assert kernel.is_spent(expired)
                self.do_evict(replica, operation)
            else:
                assert decode(remains) == expired
                self.records[replica] = remains

    # What stands behind all of them.

    def _token(self, operation: Operation) -> tuple[bytes, frozenset[int]] | None:
        if not operation.flag or not self.tokens:
            return None
        return self.tokens[operation.other % len(self.tokens)]

    def _time(self, replica: int) -> int:
        """A unique hybrid timestamp; the replicas' clocks differ, so that order in time is not order in causality."""
        return (self.now_ms + 40 * replica) << 16 | self.updates

    def _update(
        self,
        replica: int,
        token: tuple[bytes, frozenset[int]] | None,
        perform: Callable[[bytes | None, int], tuple[bytes, bytes]],
    ) -> None:
        old, before = self.records[replica], self.knowledge[replica]
        self.updates += 1
        time = self._time(replica)
        try:
            local, wire = perform(old, time)
        except TooManySiblings:
            return
        state = decode(local)
        dot = self._mint(state, time)
        context: Context | None = None if token is None else parse_context(token[0], FINGERPRINT)
        held = EMPTY if old is None else decode(old)
        expected = kernel.write(held, dot, state.dots[dot], None if context is None else context.clock)
        assert state == expected, "the packed write differs from the kernel's"
        covered = before.history if token is None else token[1]
        history = before.history | covered | {self.updates}
        self._publish(replica, local, wire, Knowledge(history, (before.live - covered) | {self.updates}))

    def _mint(self, state: State, time: int) -> Dot:
        (dot,) = [dot for dot, version in state.dots.items() if version.time == time]
        if dot in self.ledger:
            raise DotMintedTwice(f"{dot} was minted by update {self.ledger[dot]} and again by {self.updates}")
        self.ledger[dot] = self.updates
        return dot

    def _publish(self, replica: int, local: bytes, wire: bytes, knowledge: Knowledge) -> None:
        assert wire == packed.strip_local(local)
        self.records[replica] = local
        self.knowledge[replica] = knowledge
        self.produced.append(wire)
        self.network += [Message(other, wire, knowledge) for other in range(self.count) if other != replica]

    def _merge(self, replica: int, incoming: bytes, knowledge: Knowledge) -> None:
        old = self.records[replica]
        assert packed.is_well_formed(incoming)
        merged = incoming if old is None else packed.merge(old, incoming)
        if old is not None:
            expected = kernel.merge(decode(old), decode(incoming))
            assert merged == encode(expected, old[0]), "the packed merge differs from the kernel's"
            assert merged is old or merged != old, "a merge that adds nothing must return the very record"
        if self.shortcut == "resume":
            merged = bytes([packed.OWN_BASE]) + merged[1:]
        self.records[replica] = merged
        self.knowledge[replica] = self.knowledge[replica].merge(knowledge)
        self.produced.append(packed.strip_local(merged))

    def _live(self, state: State) -> frozenset[int]:
        return frozenset(self.ledger[dot] for dot in state.dots)

    def _check(self, replica: int) -> None:
        record = self.records[replica]
        if record is None:
            return
        state = decode(record)
        assert encode(state, record[0]) == record, "not in canonical form"
        assert packed.is_well_formed(packed.strip_local(record))
        assert self._live(state) == self.knowledge[replica].live, "an update was lost, or came back"


def run_until_breach(seed_count: int, shortcut: str, generate: Callable[[int], list[Operation]]) -> dict[str, int]:
    """Run seeded traces with a planted bug; return how many ended in which kind of breach."""
    breaches: dict[str, int] = {}
    for seed in range(seed_count):
        try:
            World(shortcut=shortcut).run(generate(seed))
        except AssertionError as breach:
            name = type(breach).__name__
            breaches[name] = breaches.get(name, 0) + 1
    return breaches


def kinds_of(operations: list[Operation]) -> set[Any]:
    """The kinds of operation that a trace has."""
    return {operation.kind for operation in operations}
