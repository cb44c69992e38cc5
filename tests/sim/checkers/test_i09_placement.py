import attrs

from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import Level
from sim.checkers.i09_placement import check
from sim.evidence import Evidence, NodeSnapshot, TableEvent
from sim.history import StoreCause
from sim.options import Options
from tests.sim.story import Story

NORMAL = MemberState.NORMAL
STRICT = Level.STRICT_QUORUM


def event(sequence: int, states: dict[str, MemberState], node_id: str = "a") -> TableEvent:
    members = tuple((name, int(state), "", 1) for name, state in sorted(states.items()))
    entries = [MemberEntry(name, 9, 1, state, "", 1, name, 1) for name, state in states.items()]
    owners = Placement.from_table(MemberTable.of(b"c" * 16, 16, 3, entries)).owners_by_partition
    return TableEvent(sequence, 0.0, node_id, sequence, members, tuple(owners))


def evidence(*tables: TableEvent) -> Evidence:
    snapshots = {"a": NodeSnapshot("a", 1, 0, {}, table_digest=1)}
    return Evidence(Options(partition_count=16), tables=tables, snapshots=snapshots)


FOUR = dict.fromkeys("abcd", NORMAL)


def test_owners_that_follow_from_the_table() -> None:
    assert check(evidence(event(1, FOUR), event(2, FOUR | {"e": NORMAL}), event(3, FOUR))) == []


def test_other_owners_than_the_table_yields_are_found() -> None:
    right = event(1, FOUR)
    wrong = attrs.evolve(right, owners=(right.owners[0][::-1], *right.owners[1:]))
    assert ["partition 0" in violation.text for violation in check(evidence(right, wrong))] == [True]


def test_a_join_that_moves_two_owners_of_a_partition_is_found() -> None:
    first, second = event(1, FOUR), event(2, FOUR | {"e": NORMAL})
    moved = attrs.evolve(second, owners=(("x", "y", "z"), *second.owners[1:]))
    assert any("one member came or went" in violation.text for violation in check(evidence(first, moved)))


def test_a_change_that_never_ends_is_found() -> None:
    found = check(evidence(event(1, FOUR | {"e": MemberState.JOINING})))
    assert ["still joining" in violation.text for violation in found] == [True]


def test_tables_that_differ_at_the_end_are_found() -> None:
    case = evidence(event(1, FOUR))
    other = NodeSnapshot("b", 1, 0, {}, table_digest=2)
    found = check(attrs.evolve(case, snapshots=case.snapshots | {"b": other}))
    assert ["2 different member tables" in violation.text for violation in found] == [True]


def written() -> Story:
    story = Story()
    story.set("a", b"1:", "b", "c", level=STRICT)
    story.set("a", b"2:", "b", level=STRICT)
    return story


def test_strict_reads_that_see_the_last_strict_write() -> None:
    story = written()
    story.read(b"2:", level=STRICT)
    story.delete("b", "a", "c", level=STRICT)
    story.read(None, level=STRICT)
    assert check(story.evidence()) == []


def test_a_strict_read_that_goes_back_is_found() -> None:
    story = written()
    story.read(b"1:", level=STRICT)
    assert ["had superseded" in violation.text for violation in check(story.evidence())] == [True]


def test_weaker_reads_and_reads_that_began_earlier_may_be_stale() -> None:
    story = written()
    story.read(b"1:", level=Level.ONE)
    early = story.read(b"1:", level=STRICT)
    story.history[-1] = attrs.evolve(early, call_sequence=2)
    assert check(story.evidence()) == []


def test_a_strict_miss_of_what_was_written_is_found() -> None:
    story = written()
    story.read(None, level=STRICT)
    assert ["found nothing" in violation.text for violation in check(story.evidence())] == [True]


def test_expiry_eviction_and_a_delete_explain_a_miss() -> None:
    expiring = Story()
    expiring.set("a", b"1:", "b", level=STRICT, ttl_ms=10)
    expiring.read(None, level=STRICT)
    evicting = written()
    for name in ("a", "b"):
        evicting.drop(name, StoreCause.EVICT)
    evicting.read(None, level=STRICT)
    deleting = written()
    deleting.delete("c", level=Level.ONE)
    deleting.read(None, level=STRICT)
    assert [check(story.evidence()) for story in (expiring, evicting, deleting)] == [[], [], []]
