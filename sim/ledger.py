"""The ledger of all dots: which were minted where and when, by whom superseded, where they were stored, why they left.

What: ``Ledger.of`` reads the store events of a run in order. A version that a coordinator stores and nobody held before
is a ``Mint``; what the coordinator's record held and no longer holds is what that mint superseded. Everything that
comes to or goes from a place (a store, or the hints for one target) is entered with its cause, and what the events do
not account for is entered as a ``Breach``.

Invariant: the ledger is derived from packed records alone, by rules of its own (set algebra on dots and clocks), and
calls none of the product's merging; so it does not share the product's mistakes.

Why chains: to a client a lost write looks like a superseded one. Only who superseded whom, back to something that still
lives, expired or was evicted, tells them apart (brief section 10, W1; invariants I1, I3, I4, I14).
"""

from collections.abc import Iterable, Mapping

import attrs

from dynacache.versioning.actors import Actor, Dot
from dynacache.versioning.attachments import sliding_ms_of
from dynacache.versioning.kernel import EXPIRED, SLIDING, TOMBSTONE, Version, longest
from dynacache.versioning.layout import decode

from .history import StoreCause, StoreEvent

__all__ = ["Breach", "Change", "Ledger", "Mint", "Name", "covered", "dots_of", "is_spent"]

_FORGETTING = (StoreCause.EXPIRE, StoreCause.DISCARD, StoreCause.INVALIDATE)
"""Causes for which a place may lawfully forget what it had seen."""

Name = tuple[bytes, Dot]
"""A dot of a key. Actors are unique in a cluster, but a base is not unique among the keys of a broken one."""


@attrs.frozen
class Mint:
    """A version came into being."""

    event: StoreEvent
    dot: Dot
    version: Version
    superseded: tuple[Dot, ...]
    """What its coordinator held and replaced by it."""
    beyond: tuple[Dot, ...]
    """What it covers beside that, and what the coordinator held had not covered: known from a context."""
    beside: tuple[Dot, ...]
    """What lives on beside it in the coordinator's record."""


@attrs.frozen
class Change:
    """A dot came to a place, or left it."""

    event: StoreEvent
    dot: Dot
    lawful: bool = True
    """Of a departure: whether what was stored instead covers the dot."""


@attrs.frozen
class Breach:
    """Something that no rule accounts for."""

    invariant: str
    key: bytes
    text: str
    sequence: int


@attrs.define(eq=False)
class Ledger:
    """Every dot of a run, by key and dot."""

    mints: dict[Name, Mint] = attrs.field(factory=dict)
    arrivals: dict[Name, list[Change]] = attrs.field(factory=dict)
    departures: dict[Name, list[Change]] = attrs.field(factory=dict)
    superseders: dict[Name, list[Dot]] = attrs.field(factory=dict)
    """By whom a dot was superseded, first hand."""
    life_ms: dict[Name, int] = attrs.field(factory=dict)
    """The longest expiry that a dot was ever given, 0 for never."""
    touched: set[Name] = attrs.field(factory=set)
    breaches: list[Breach] = attrs.field(factory=list)
    _dots: dict[bytes, list[Dot]] = attrs.field(factory=dict)
    _forms: dict[Name, Version] = attrs.field(factory=dict)
    _lives: dict[Name, set[int]] = attrs.field(factory=dict)
    _decoded: dict[bytes, tuple[Mapping[Dot, Version], Mapping[Actor, int]]] = attrs.field(factory=dict)

    @classmethod
    def of(cls, events: Iterable[StoreEvent]) -> "Ledger":
        """Read the events of a run, in order."""
        ledger = cls()
        for event in events:
            ledger._read(event)
        ledger._decoded.clear()
        return ledger

    def dots(self, key: bytes) -> list[Dot]:
        """Return all dots minted for a key, in order."""
        return self._dots.get(key, [])

    def ancestors(self, key: bytes, dot: Dot) -> set[Dot]:
        """Return all that a version superseded, first hand or through others."""
        found: set[Dot] = set()
        left = [dot]
        while left:
            mint = self.mints.get((key, left.pop()))
            if mint is not None:
                fresh = [each for each in (*mint.superseded, *mint.beyond) if each not in found]
                found.update(fresh)
                left.extend(fresh)
        return found

    def successors(self, key: bytes, dot: Dot) -> set[Dot]:
        """Return all that superseded a version, first hand or through others."""
        found: set[Dot] = set()
        left = [dot]
        while left:
            fresh = [each for each in self.superseders.get((key, left.pop()), []) if each not in found]
            found.update(fresh)
            left.extend(fresh)
        return found

    def left_by(self, key: bytes, dot: Dot, cause: StoreCause) -> int:
        """Return how many nodes a dot left for this cause."""
        changes = self.departures.get((key, dot), [])
        return len({change.event.node_id for change in changes if change.event.cause is cause})

    # Inside

    def _read(self, event: StoreEvent) -> None:
        before, old_clock = self._decode(event.before)
        after, new_clock = self._decode(event.after)
        come = [dot for dot in after if dot not in before]
        gone = [dot for dot in before if dot not in after]
        for dot in after:
            self._meet(event, dot, after[dot], dot in come)
        if event.cause is StoreCause.PUT:
            come_new = [dot for dot in come if (event.key, dot) not in self.mints and self._own(event, dot)]
            for dot in come_new:
                self._mint(event, dot, before, old_clock, after, new_clock)
            if not come_new and event.before is not None:
                self._touch(event, before, after)
        for dot in come:
            self._come(event, dot, before, old_clock)
        for dot in gone:
            lawful = event.cause not in (StoreCause.PUT, StoreCause.MERGE) or covered(new_clock, dot)
            self.departures.setdefault((event.key, dot), []).append(Change(event, dot, lawful))
        if event.before is not None and event.after is not None and event.cause not in _FORGETTING:
            forgotten = [actor for actor, n in old_clock.items() if new_clock.get(actor, 0) < n]
            if forgotten and not all(is_spent(version) for version in before.values()):
                self._breach(event, "I14", f"{event.node_id} forgot what it had seen of {forgotten[0]}")

    def _own(self, event: StoreEvent, dot: Dot) -> bool:
        return dot[0][0] == event.incarnation

    def _meet(self, event: StoreEvent, dot: Dot, version: Version, new_here: bool) -> None:
        """A dot has one version for ever; only its life may be raised, and it may expire."""
        name = (event.key, dot)
        known = self._forms.get(name)
        if known is None:
            self._forms[name] = version
            self.life_ms[name] = version.expire_ms
            self._lives[name] = {version.expire_ms}
            return
        if known is version:
            return
        if version.flags & EXPIRED or known.flags & EXPIRED:
            return
        if (known.time, known.kind, known.payload) != (version.time, version.kind, version.payload):
            if new_here:
                self._breach(event, "I14", f"{event.node_id} has {dot} as another version than it was minted as")
            return
        if version.expire_ms not in self._lives[name]:
            if event.cause is StoreCause.MERGE and not event.place and not _may_be_renewed(event, version):
                self._breach(event, "I3", f"{event.node_id} gave {dot} another life than anyone had")
            self._lives[name].add(version.expire_ms)
            self.life_ms[name] = longest(self.life_ms[name], version.expire_ms)
            self.touched.add(name)

    def _mint(
        self, event: StoreEvent, dot: Dot, before: Mapping[Dot, Version], old_clock: Mapping[Actor, int],
        after: Mapping[Dot, Version], new_clock: Mapping[Actor, int],
    ) -> None:  # fmt: skip
        key = event.key
        superseded = tuple(each for each in before if each not in after)
        beyond: tuple[Dot, ...] = ()
        # A stand-in goes on from any hint that it keeps of the key, so also from one for another owner.
        from_another_hint = bool(event.place) and dot[1] > 1 + old_clock.get(dot[0], 0)
        if from_another_hint or any(n > old_clock.get(actor, 0) for actor, n in new_clock.items() if actor != dot[0]):
            beyond = tuple(
                each
                for each in self.dots(key)
                if covered(new_clock, each) and not covered(old_clock, each) and each not in after
            )
        beside = tuple(each for each in after if each != dot)
        self.mints[key, dot] = Mint(event, dot, after[dot], superseded, beyond, beside)
        self._dots.setdefault(key, []).append(dot)
        for each in (*superseded, *beyond):
            self.superseders.setdefault((key, each), []).append(dot)

    def _touch(self, event: StoreEvent, before: Mapping[Dot, Version], after: Mapping[Dot, Version]) -> None:
        """What is stored over something without a mint is a touch. A hint takes in what other hints of its key hold."""
        if set(after) != set(before) and not event.place:
            self._breach(event, "I3", f"a touch at {event.node_id} changed which versions are held")
        for dot in after:
            if dot in before and after[dot].time != before[dot].time:
                self._breach(event, "I3", f"a touch at {event.node_id} changed the time of {dot}")

    def _come(self, event: StoreEvent, dot: Dot, before: Mapping[Dot, Version], old_clock: Mapping[Actor, int]) -> None:
        name = (event.key, dot)
        self.arrivals.setdefault(name, []).append(Change(event, dot))
        if name not in self.mints:
            if name not in self.arrivals or len(self.arrivals[name]) == 1:
                self._breach(event, "I14", f"{event.node_id} holds {dot}, which nobody minted")
        elif covered(old_clock, dot) and event.cause is not StoreCause.EXPIRE:
            mint = self.mints[name]
            if mint.event is event:
                self._breach(event, "I14", f"{event.node_id} minted {dot}, which it had already seen")
            elif not all(is_spent(version) for version in before.values()):
                self._breach(event, "I3", f"{event.node_id} took back {dot}, which it had seen superseded")

    def _decode(self, record: bytes | None) -> tuple[Mapping[Dot, Version], Mapping[Actor, int]]:
        if record is None:
            return {}, {}
        known = self._decoded.get(record)
        if known is None:
            state = decode(record)
            known = self._decoded[record] = (state.dots, state.context)
        return known

    def _breach(self, event: StoreEvent, invariant: str, text: str) -> None:
        self.breaches.append(Breach(invariant, event.key, text, event.sequence))


def _may_be_renewed(event: StoreEvent, version: Version) -> bool:
    """Return whether a read may have given a version its life: who renews it may hold only what has superseded it by
    then, so that nobody is seen to have had that life before the others do (seed 50143)."""
    return bool(version.flags & SLIDING) and version.expire_ms <= event.hybrid_ms + sliding_ms_of(
        version.flags, version.payload
    )


def covered(clock: Mapping[Actor, int], dot: Dot) -> bool:
    """Return whether a version vector includes a dot."""
    return clock.get(dot[0], 0) >= dot[1]


def dots_of(record: bytes | None) -> tuple[Dot, ...]:
    """Return the dots that live in a record."""
    return () if record is None else tuple(decode(record).dots)


def is_spent(version: Version) -> bool:
    """Return whether this is a tombstone that an expiry left."""
    return version.kind == TOMBSTONE and bool(version.flags & EXPIRED)
