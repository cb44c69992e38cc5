"""What a run leaves behind: the rolling hash of its trace, its global order, and its events.

What: ``Recorder`` numbers calls, returns and changes; takes notes, events of machines, tables and traffic; and hashes
every delivery as it happens.

Invariant: the hash covers the time, the receiver and the bytes of each delivery, and every event that is kept. Two
runs with one hash have done the same things in the same order.

Why the bytes themselves and not only identifiers: a set that is iterated in the order of its hashes changes bytes long
before it changes anything that a coarser trace would show.
"""

from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from struct import Struct
from typing import Any

import attrs

from dynacache.events import Note

from ..evidence import CatalogueEvent, KeyHappening, MachineEvent, MembershipEvent, TableEvent, Told, Traffic
from ..history import StoreEvent
from .heap import Heap

__all__ = ["Recorder"]

_NOTHING: Mapping[str, int] = {}
_pack = Struct(">dHHI").pack


@attrs.define(eq=False, repr=False)
class Recorder:
    """The memory of one run."""

    heap: Heap
    sequence: int = 0
    store_events: list[StoreEvent] = attrs.field(factory=list)
    membership: list[MembershipEvent] = attrs.field(factory=list)
    tables: list[TableEvent] = attrs.field(factory=list)
    catalogue: list[CatalogueEvent] = attrs.field(factory=list)
    happenings: list[KeyHappening] = attrs.field(factory=list)
    told: list[Told] = attrs.field(factory=list)
    machines: list[MachineEvent] = attrs.field(factory=list)
    notes: list[tuple[float, str, str, dict[str, Any]]] = attrs.field(factory=list)
    traffic: list[Traffic] = attrs.field(factory=list)
    witnessed: dict[int, set[int]] = attrs.field(factory=dict)
    """Fingerprints of keys that repair asked a full store to remember, and the hybrid times of the versions."""
    coverage: Counter[str] = attrs.field(factory=Counter)
    messages: Counter[str] = attrs.field(factory=Counter)
    """Messages between nodes in the present phase, by name."""
    wire_bytes: Counter[str] = attrs.field(factory=Counter)
    _phase: str = "birth"
    _phase_began_s: float = attrs.field(init=False)
    _hash: Any = attrs.field(factory=lambda: blake2b(digest_size=16), init=False)
    _update: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Begin the first phase."""
        self._phase_began_s = self.heap.now_s
        self._update = self._hash.update

    def next_sequence(self) -> int:
        """Return the next number of the global order."""
        self.sequence += 1
        return self.sequence

    def stamp(self) -> tuple[int, float]:
        """Return the next number of the global order, and the virtual second."""
        self.sequence = sequence = self.sequence + 1
        return sequence, self.heap.now_s

    def delivered(self, receiver: int, kind: int, number: int, data: bytes) -> None:
        """Hash one delivery."""
        self._update(_pack(self.heap.now_s, receiver, kind, number) + data)

    def hashed(self, *what: object) -> None:
        """Hash something rare."""
        self._update(repr((self.heap.now_s, *what)).encode())

    def machine(self, node_id: str, kind: str, incarnation: int = 0, **detail: Any) -> None:
        """Keep an event of a machine."""
        self.machines.append(MachineEvent(self.next_sequence(), self.heap.now_s, node_id, kind, incarnation, detail))
        self.hashed(node_id, kind, incarnation)

    def note(self, node_id: str, note: Note) -> None:
        """Keep a node's note; a change of mind about a member also becomes a membership event."""
        now_s = self.heap.now_s
        self.coverage[f"note {note.event}"] += 1
        if note.event == "member.changed":
            fields = note.fields
            self.membership.append(
                MembershipEvent(
                    self.next_sequence(), now_s, node_id, fields["node"], fields["state"], bool(fields["stopped"])
                )
            )
        if note.level != "debug":
            self.notes.append((now_s, node_id, note.event, note.fields))
            self.hashed(node_id, note.event)

    def phase(self, name: str, repair: Mapping[str, int] = _NOTHING) -> None:
        """Close the account of the present phase, with what repair did in it, and begin the next."""
        now_s = self.heap.now_s
        self.traffic.append(
            Traffic(self._phase, self._phase_began_s, now_s, dict(self.messages), dict(self.wire_bytes), **repair)
        )
        self.messages.clear()
        self.wire_bytes.clear()
        self._phase, self._phase_began_s = name, now_s
        self.hashed("phase", name)

    def digest(self) -> str:
        """Return the hash of everything so far."""
        digest: str = self._hash.hexdigest()
        return digest
