import msgpack

from dynacache.datatypes.counter import increment
from dynacache.types import Level
from dynacache.versioning import packed
from sim.checkers.i01_acknowledged import check
from sim.history import OperationKind, Outcome, StoreCause
from sim.options import Options
from tests.sim.story import KEY, Story


def test_what_is_held_superseded_expired_evicted_or_deleted_is_not_lost() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("b", b"2:", "a", "c", ttl_ms=50)
    story.now_s += 1
    for name in story.names:
        story.drop(name, StoreCause.EXPIRE)
    story.set("a", b"3:", "b")
    story.drop("a", StoreCause.EVICT)
    story.drop("b", StoreCause.EVICT)
    story.set("c", b"4:", "a", "b")
    story.delete("b", "a", "c")
    assert check(story.evidence()) == []


def test_one_memory_may_be_lost() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    story.restart("a")
    assert check(story.evidence()) == []


def test_an_acknowledged_write_that_only_its_coordinator_held_is_lost_with_it() -> None:
    story = Story()
    story.set("a", b"1:")
    story.restart("a")
    assert [violation.invariant for violation in check(story.evidence())] == ["I1"]


def test_a_write_that_was_not_acknowledged_may_be_lost() -> None:
    story = Story()
    begun = story.step()
    story.mint("a", b"1:")
    story.call(OperationKind.SET, outcome=Outcome.UNKNOWN, begun=begun, value=b"1:")
    story.restart("a")
    assert check(story.evidence()) == []


def test_one_acknowledged_at_level_one_may_be_lost() -> None:
    story = Story()
    story.set("a", b"1:", level=Level.ONE)
    story.restart("a")
    assert check(story.evidence()) == []


def test_two_lost_memories_are_outside_the_fault_model() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    story.restart("a")
    story.restart("b")
    assert check(story.evidence()) == []


def test_with_one_replica_no_memory_may_be_lost_and_nobody_is_accused() -> None:
    story = Story(Options(replication_factor=1))
    story.set("a", b"1:")
    story.restart("a")
    assert check(story.evidence()) == []


def with_lost_hints() -> Story:
    """Two writes at a, kept by b for c, are gone with a's memory and with b's hints, of which b gave up one aloud."""
    story = Story()
    for key, value in ((KEY, b"1:"), (b"k9", b"2:")):
        story.set("a", value, key=key)
        story.keep_hint("a", "b", "c", key)
    story.end_hint("b", "c", key=b"k9")
    story.now_s += 60
    story.end_hint("b", "c")
    story.note("b", "hint.lost", target="c")
    story.restart("a")
    return story


def test_a_lost_hint_is_not_silent_when_it_was_noted_and_excuses_no_other() -> None:
    story = with_lost_hints()
    assert [violation.key for violation in check(story.evidence())] == [b"k9"]
    assert [violation.key for violation in check(story.evidence(notes=()))] == [KEY, b"k9"]


def test_a_counter_is_excused_by_its_own_hints_only() -> None:
    story = Story()
    _count(story, "a", 5)
    story.merge("a", "b")
    short = story.held["a", KEY]
    _count(story, "a", 2)
    story.mint("a", b"1:", key=b"k9")
    for key in (KEY, b"k9"):
        story.keep_hint("a", "b", "c", key)
    for name in ("a", "b"):
        story.put(name, short, cause=StoreCause.MERGE)
    story.now_s += 60
    story.end_hint("b", "c", key=b"k9")
    story.note("b", "hint.lost", target="c")
    story.hints.clear()
    assert KEY in [violation.key for violation in check(story.evidence())]
    story.end_hint("b", "c")
    assert KEY in [violation.key for violation in check(story.evidence())], "a hint that held nothing excuses nothing"
    story.keep_hint("a", "b", "c")
    story.end_hint("b", "c")
    story.note("b", "hint.lost", target="c")
    assert KEY not in [violation.key for violation in check(story.evidence())]


def test_a_write_whose_superseder_is_lost_is_lost_with_it() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    story.mint("a", b"2:")
    story.merge("a", "b")
    story.restart("a")
    story.drop("b", StoreCause.REMOVE)
    assert [violation.invariant for violation in check(story.evidence())] == ["I1"]


def test_a_value_that_nobody_stored_was_not_written() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.call(OperationKind.SET, value=b"2:")
    assert ["no node ever stored it" in violation.text for violation in check(story.evidence())] == [True]


def test_a_refused_condition_writes_nothing() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.call(OperationKind.SET_IF_ABSENT, result=False, value=b"2:")
    assert check(story.evidence()) == []


def _count(story: Story, node: str, delta: int) -> None:
    begun = story.step()
    story.ticks += 1
    time = (story.now_ms() << 16) + story.ticks
    held = story.held.get((node, KEY))
    local, _, total = increment(held, story.issuers[node], delta, time, 0, story.now_ms())
    story.put(node, local)
    story.call(OperationKind.INCREMENT, begun=begun, result=total, delta=delta)


def test_a_counter_shows_all_that_was_added() -> None:
    story = Story()
    _count(story, "a", 5)
    story.merge("a", "b")
    _count(story, "b", 2)
    _count(story, "a", -1)
    story.merge("b", "a")
    story.merge("a", "b")
    assert check(story.evidence()) == []


def test_a_counter_that_forgot_an_increment_is_found() -> None:
    story = Story()
    _count(story, "a", 5)
    cell = story.held["a", KEY]
    _count(story, "a", 2)
    story.put("a", cell, cause=StoreCause.MERGE)
    assert [violation.invariant for violation in check(story.evidence())] == ["I1"]
    assert msgpack.unpackb(cell[-1:]) is not None
    assert packed.is_well_formed(packed.strip_local(cell))
