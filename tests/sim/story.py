"""Made-up evidence: a few nodes, one step at a time, told as the world would tell it.

What: a ``Story`` does by hand what a cluster does (a node mints, merges, expires, evicts, loses its memory) with the
product's own packed records, and keeps the store events and operations. ``evidence`` freezes it. A lie is told by
handing ``put`` or ``merge`` a record that no correct node would have come to.
"""

from typing import Any

import attrs

from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.context import make_context, parse_context
from sim.evidence import Evidence, NodeSnapshot
from sim.history import HINT, OperationKind, OperationRecord, Outcome, StoreCause, StoreEvent
from sim.options import Options

START_MS = 1_700_000_000_000
KEY = b"k0"
FINGERPRINT = 7


@attrs.define
class Story:
    """Nodes a, b and c of one key (or more), and what clients heard."""

    options: Options = attrs.field(factory=Options)
    names: tuple[str, ...] = ("a", "b", "c")
    now_s: float = 0.0
    sequence: int = 0
    events: list[StoreEvent] = attrs.field(factory=list)
    history: list[OperationRecord] = attrs.field(factory=list)
    held: dict[tuple[str, bytes], bytes] = attrs.field(factory=dict)
    hints: dict[tuple[str, str, bytes], bytes] = attrs.field(factory=dict)
    notes: list[tuple[float, str, str, dict[str, Any]]] = attrs.field(factory=list)
    issuers: dict[str, ActorIssuer] = attrs.field(init=False)
    ticks: int = 0

    def __attrs_post_init__(self) -> None:
        self.issuers = {name: ActorIssuer(100 * (index + 1)) for index, name in enumerate(self.names)}

    def step(self) -> int:
        """Return the next number of the global order; a hundredth of a second passes."""
        self.now_s += 0.01
        self.sequence += 1
        return self.sequence

    def now_ms(self) -> int:
        """The wall clock, which here all nodes share."""
        return START_MS + int(self.now_s * 1000)

    # What nodes do

    def put(self, node: str, record: bytes | None, key: bytes = KEY, cause: StoreCause = StoreCause.PUT) -> None:
        """Let a node's store change to this record."""
        before = self.held.get((node, key))
        if record is None:
            self.held.pop((node, key), None)
        else:
            self.held[node, key] = record
        incarnation = self.issuers[node].incarnation
        event = StoreEvent(self.step(), self.now_s, node, incarnation, key, before, record, cause, self.now_ms())
        self.events.append(event)

    def merge(self, source: str, target: str, key: bytes = KEY) -> None:
        """Let one node have what another holds."""
        incoming = packed.strip_local(self.held[source, key])
        held = self.held.get((target, key))
        self.put(target, incoming if held is None else packed.merge(held, incoming), key, StoreCause.MERGE)

    def mint(self, node: str, value: bytes, key: bytes = KEY, ttl_ms: int = 0, context: bytes | None = None) -> bytes:
        """Let a node write a value; returns the version as a context token."""
        self.ticks += 1
        now_ms = self.now_ms()
        read = None if context is None else parse_context(context, FINGERPRINT)
        expire_ms = now_ms + ttl_ms if ttl_ms else 0
        time = (now_ms << 16) + self.ticks
        held = self.held.get((node, key))
        local, _ = packed.write(held, self.issuers[node], time, expire_ms, packed.RAW, value, now_ms, read)
        self.put(node, local, key)
        return make_context(local, FINGERPRINT)

    def remove(self, node: str, key: bytes = KEY) -> None:
        """Let a node mint a tombstone."""
        self.ticks += 1
        time = (self.now_ms() << 16) + self.ticks
        local, _ = packed.delete(self.held.get((node, key)), self.issuers[node], time, self.now_ms())
        self.put(node, local, key)

    def keep_hint(self, source: str, holder: str, target: str, key: bytes = KEY) -> None:
        """Let one node keep what another holds, for a third."""
        self._hint(holder, target, packed.strip_local(self.held[source, key]), key, StoreCause.MERGE)

    def end_hint(self, holder: str, target: str, cause: StoreCause = StoreCause.REMOVE, key: bytes = KEY) -> None:
        """Let a hint end."""
        self._hint(holder, target, None, key, cause)

    def _hint(self, holder: str, target: str, record: bytes | None, key: bytes, cause: StoreCause) -> None:
        name = (holder, HINT + target, key)
        before = self.hints.pop(name, None)
        if record is not None:
            self.hints[name] = record
        incarnation, sequence = self.issuers[holder].incarnation, self.step()
        self.events.append(
            StoreEvent(
                sequence, self.now_s, holder, incarnation, key, before, record, cause, self.now_ms(), HINT + target
            )
        )

    def note(self, node: str, event: str, **fields: Any) -> None:
        """Let a node say something now."""
        self.notes.append((self.now_s, node, event, fields))

    def drop(self, node: str, cause: StoreCause, key: bytes = KEY) -> None:
        """Let a node forget the key, for this cause."""
        self.put(node, None, key, cause)

    def restart(self, node: str) -> None:
        """Let a node lose its memory and come back as another incarnation."""
        for name, key in [name for name in self.held if name[0] == node]:
            self.drop(name, StoreCause.LOST, key)
        for holder, place, key in [name for name in self.hints if name[0] == node]:
            self.end_hint(holder, place.removeprefix(HINT), StoreCause.LOST, key)
        self.issuers[node] = ActorIssuer(self.issuers[node].incarnation + 1)

    # What clients do

    def call(
        self, kind: OperationKind, key: bytes = KEY, level: int = Level.QUORUM, result: Any = True,
        outcome: Outcome = Outcome.OK, begun: int | None = None, **arguments: Any,
    ) -> OperationRecord:  # fmt: skip
        """Tell an operation that returns now and was called at ``begun`` (a moment ago)."""
        number = len(self.history)
        call_sequence = self.step() if begun is None else begun
        record = OperationRecord(
            number, 0, kind, key, level, call_sequence, self.now_s, self.step(), self.now_s, outcome, result, arguments
        )
        self.history.append(record)
        return record

    def set(self, node: str, value: bytes, *others: str, level: int = Level.QUORUM, **given: Any) -> OperationRecord:
        """A client's set, minted at ``node``, merged at the others, acknowledged."""
        begun = self.step()
        key = given.get("key", KEY)
        self.mint(node, value, **given)
        for other in others:
            self.merge(node, other, key)
        return self.call(OperationKind.SET, key, level=level, begun=begun, value=value)

    def delete(self, node: str, *others: str, level: int = Level.QUORUM) -> OperationRecord:
        """A client's delete likewise."""
        begun = self.step()
        self.remove(node)
        for other in others:
            self.merge(node, other)
        return self.call(OperationKind.DELETE, level=level, begun=begun)

    def read(self, result: Any, level: int = Level.QUORUM, key: bytes = KEY) -> OperationRecord:
        """A client's read that found this."""
        return self.call(OperationKind.GET, key, level, result)

    # The end

    def evidence(self, **more: Any) -> Evidence:
        """Freeze it: every node is up, and holds what it holds."""
        snapshots = {
            name: NodeSnapshot(
                name, self.issuers[name].incarnation, self.now_ms(),
                {key: record for (node, key), record in self.held.items() if node == name},
            )
            for name in self.names
        }  # fmt: skip
        keys = sorted({event.key for event in self.events})
        given: dict[str, Any] = {
            "history": tuple(self.history), "store_events": tuple(self.events), "snapshots": snapshots,
            "owners": dict.fromkeys(keys, self.names), "end_s": self.now_s, "notes": tuple(self.notes),
        }  # fmt: skip
        return Evidence(self.options, **(given | more))
