import attrs

from dynacache.types import Level
from dynacache.versioning import packed
from sim.checkers.i03_resurrection import check
from sim.faults.schedule import Fault
from sim.history import StoreCause
from tests.sim.story import KEY, Story


def texts(story: Story, **more: object) -> list[str]:
    found = check(story.evidence(**more))
    assert {violation.invariant for violation in found} <= {"I3"}
    return [violation.text for violation in found]


def test_a_life_with_writes_deletes_expiry_and_touches_is_clean() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.read(b"1:")
    story.delete("b", "a", "c")
    story.read(None)
    story.set("c", b"2:", "a", "b", ttl_ms=1_000)
    touched = packed.touch(story.held["c", KEY], story.now_ms() + 5_000)
    story.put("c", touched)
    story.merge("c", "a")
    story.merge("c", "b")
    story.now_s += 3
    story.read(b"2:")
    assert texts(story) == []


def test_a_deleted_value_that_lives_at_the_end_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    old = story.held["c", KEY]
    story.delete("a", "b")
    for name in ("a", "b"):
        story.drop(name, StoreCause.REMOVE)
        story.put(name, old, cause=StoreCause.MERGE)
    assert any("lives at the end" in text for text in texts(story))


def test_a_superseder_that_was_evicted_or_lost_binds_nobody() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("a", b"2:", "b")
    story.drop("a", StoreCause.EVICT)
    story.restart("b")
    assert texts(story) == []


def test_a_superseder_whose_own_successor_was_evicted_binds_nobody() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("a", b"2:", "b")
    story.mint("a", b"3:")
    story.merge("a", "b")
    for name in ("a", "b"):
        story.drop(name, StoreCause.EVICT)
    assert texts(story) == []


def test_a_store_that_refused_the_superseder_may_hold_what_was_before_it() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.set("a", b"2:", "b")
    evidence = story.evidence()
    for key, found in ((KEY, 0), (b"another", 1)):
        held = attrs.evolve(evidence.snapshots["c"], refused=frozenset({key}))
        assert len(check(attrs.evolve(evidence, snapshots=evidence.snapshots | {"c": held}))) == found
    story.put("a", story.held["c", KEY], cause=StoreCause.REMOVE)
    evidence = story.evidence()
    refusing = attrs.evolve(evidence.snapshots["c"], refused=frozenset({KEY}))
    found_at_a = check(attrs.evolve(evidence, snapshots=evidence.snapshots | {"c": refusing}))
    assert any("lives at the end" in violation.text for violation in found_at_a)


def test_a_tombstone_that_outlived_its_successors_is_no_value() -> None:
    """Seed 2101: the write after the delete was superseded by one that was evicted, and one owner missed both."""
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.delete("a", "b", "c")
    for value in (b"2:", b"3:"):
        story.set("a", value, "b")
    for name in ("a", "b"):
        story.drop(name, StoreCause.EVICT)
    assert check(story.evidence()) == []


def test_a_node_that_takes_back_what_it_saw_superseded_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    old = story.held["c", KEY]
    story.set("a", b"2:", "b", "c")
    story.put("c", old, cause=StoreCause.MERGE)
    assert any("took back" in text for text in texts(story))


def test_a_read_after_the_end_of_a_life_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c", ttl_ms=1_000)
    story.now_s += 1.5
    story.read(b"1:")
    assert texts(story) == []
    story.now_s += 1.0
    story.read(b"1:")
    assert ["after the end of its life" in text for text in texts(story)] == [True]
    jump = Fault(0.0, "clock_offset", {"node": "a", "offset_ms": 60_000, "duration_s": 1.0})
    assert texts(story, faults=(jump,)) == []


def test_bytes_that_nobody_wrote_are_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.read(b"99:")
    assert ["nobody wrote" in text for text in texts(story)] == [True]


def test_a_touch_that_makes_a_version_newer_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c", ttl_ms=1_000)
    held = story.held["a", KEY]
    head = packed.HEADER.unpack_from(held)
    newer = packed.HEADER.pack(*head[:5], head[5] + 1, *head[6:]) + held[packed.HEADER_BYTES :]
    story.put("a", newer)
    assert any("changed the time" in text for text in texts(story))


def test_a_touch_that_drops_a_version_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    older = story.held["a", KEY]
    story.set("a", b"2:")
    story.put("a", older)
    assert any("a touch at a" in text for text in texts(story))


def test_a_replica_that_lengthens_a_life_is_found() -> None:
    story = Story()
    story.set("a", b"1:", ttl_ms=1_000)
    story.put("b", packed.touch(packed.strip_local(story.held["a", KEY]), 0), cause=StoreCause.MERGE)
    assert any("another life" in text for text in texts(story))


def test_a_strict_read_is_named_by_its_level() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.read(b"nothing", level=Level.STRICT_QUORUM)
    assert "strict_quorum" in texts(story)[0]
    assert attrs.asdict(check(story.evidence())[0])["key"] == KEY
