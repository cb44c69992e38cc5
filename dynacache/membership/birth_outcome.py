"""What a start ends in, and the place that a known cluster gives to a starting process.

What: ``Born`` (this process founded the cluster: its empty memory is complete), ``Joined`` (the cluster was there
before: this process is warming at its old place, or OUTSIDE), ``Failed`` (the process must end).

Invariant: only a process whose very incarnation stands in the birth record is ``Born``. A node that comes back keeps
its state, zone and weight and raises the generation of its entry, to its incarnation at least. Who left
or was removed, or is about to be, is OUTSIDE and takes a new place; all that it could know of the old one is lost.

Why a place keeps zone and weight: they decide which data lies there, so a new value would move owners without the
transition that keeps quorums intersecting. To change them, leave and join.
"""

import attrs

from dynacache.errors import DynacacheError, StartupError
from dynacache.placement.birth_record import BirthRecord, Candidate
from dynacache.placement.checks import U64_MAX, WireValueError, integer
from dynacache.placement.table import MemberEntry, MemberState, MemberTable

__all__ = ["PLACELESS", "BirthOutcome", "Born", "Failed", "Joined", "outcome_of"]

_GONE = frozenset({MemberState.LEFT, MemberState.REMOVED, MemberState.REMOVING})
PLACELESS = frozenset({MemberState.OUTSIDE, MemberState.LEFT, MemberState.REMOVED})
"""States of members that no partition waits for."""


@attrs.frozen
class Born:
    """This process is among the founders: its empty memory is complete."""

    record: BirthRecord
    table: MemberTable
    entry: MemberEntry  # this node's own, as it stands in ``table``
    complete: bool = attrs.field(default=True, init=False)


@attrs.frozen
class Joined:
    """The cluster exists already: this process is warming, or OUTSIDE."""

    record: BirthRecord
    table: MemberTable
    entry: MemberEntry  # this node's own, newly written into ``table``; spread it
    complete: bool = attrs.field(default=False, init=False)


@attrs.frozen
class Failed:
    """The process must end with this error."""

    error: DynacacheError


BirthOutcome = Born | Joined | Failed


def outcome_of(record: BirthRecord, table: MemberTable, me: Candidate) -> BirthOutcome:
    """Return what the existence of this cluster means for the process ``me``."""
    place = table.entries.get(me.node_id)
    if record.is_founded_by(me.node_id, me.incarnation) and place is not None and _is_own(place, me):
        return Born(record, table, place)
    try:
        entry = _returning_entry(me, place)
        return Joined(record, table.with_entry(entry), entry)
    except WireValueError as error:
        return Failed(StartupError(f"the cluster has no place for {me.node_id}: {error}"))


def _is_own(place: MemberEntry, me: Candidate) -> bool:
    return place.generation == me.incarnation and place.state not in PLACELESS


def _returning_entry(me: Candidate, place: MemberEntry | None) -> MemberEntry:
    """Return the entry of a process that was not there when the cluster, or its place, began."""
    if place is None:
        return me.entry(MemberState.OUTSIDE)
    generation = integer(max(me.incarnation, place.generation + 1), "generation", 0, U64_MAX)
    if place.state is MemberState.OUTSIDE:
        version = integer(place.version + 1, "version", 0, U64_MAX)  # zone and weight may be others now
        entry = attrs.evolve(me.entry(MemberState.OUTSIDE), version=version, place=place.place)
    elif place.state in _GONE:
        entry = attrs.evolve(me.entry(MemberState.OUTSIDE), place=integer(place.place + 1, "place", 0, U64_MAX))
    else:
        entry = attrs.evolve(place, host=me.host, port=me.port)
    return attrs.evolve(entry, generation=generation)
