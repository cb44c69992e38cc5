import attrs

from dynacache.versioning import kernel, packed
from dynacache.versioning.layout import decode, encode
from sim.checkers.i04_siblings import check
from sim.history import OperationKind, OperationRecord, StoreCause
from tests.sim.story import KEY, Story


def siblings() -> Story:
    """Two writes at the same time, each at its own node."""
    story = Story()
    story.set("a", b"0:", "b", "c")
    story.set("a", b"1:")
    story.set("b", b"2:")
    story.merge("a", "b")
    story.merge("b", "a")
    return story


def shown(story: Story, values: list[bytes]) -> OperationRecord:
    record = attrs.evolve(story.read(b"2:"), metadata={"siblings": values})
    story.history[-1] = record
    return record


def test_concurrent_writes_are_siblings() -> None:
    story = siblings()
    shown(story, [b"1:"])
    assert check(story.evidence()) == []
    story.set("a", b"3:", "b", "c")
    assert check(story.evidence()) == []


def test_a_write_with_the_version_of_another_key_state_keeps_what_it_did_not_see() -> None:
    story = Story()
    token = story.mint("a", b"0:")
    story.set("a", b"1:")
    begun = story.step()
    story.mint("a", b"2:", context=token)
    story.call(OperationKind.SET_IF_VERSION, begun=begun, value=b"2:", version=token)
    assert story.held["a", KEY][1] == packed.MANY
    assert check(story.evidence()) == []


def test_a_version_beside_the_one_that_superseded_it_is_found() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    older = decode(story.held["a", KEY])
    story.set("a", b"2:", "b", "c")
    newer = decode(story.held["a", KEY])
    both = kernel.State(newer.context, frozenset(), {**older.dots, **newer.dots})
    story.put("c", encode(both, 0), cause=StoreCause.MERGE)
    assert ["superseded the second" in violation.text for violation in check(story.evidence())] == [True]


def test_what_was_kept_without_its_context_may_stand_beside_what_it_superseded() -> None:
    """Seed 4161: a copy that was out of touch for too long keeps what is young, and nothing of what that knew."""
    story = Story()
    story.set("a", b"1:", "b")
    older = decode(story.held["b", KEY])
    story.mint("a", b"2:")
    newer = decode(story.held["a", KEY])
    (dot,) = newer.dots
    bare = kernel.State({dot[0]: dot[1]}, frozenset(), newer.dots)
    other = kernel.State({**older.context, **bare.context}, frozenset(), {**older.dots, **newer.dots})
    story.put("c", encode(bare, 0), cause=StoreCause.MERGE)
    story.put("c", encode(other, 0), cause=StoreCause.MERGE)
    assert len(check(story.evidence())) == 1
    events = [
        attrs.evolve(event, cause=StoreCause.DISCARD) if event.after == encode(bare, 0) else event
        for event in story.evidence().store_events
    ]
    assert check(attrs.evolve(story.evidence(), store_events=tuple(events))) == []


def test_a_plain_set_that_leaves_siblings_is_found() -> None:
    story = siblings()
    before = decode(story.held["a", KEY])
    story.set("a", b"3:")
    after = decode(story.held["a", KEY])
    story.events[-1] = attrs.evolve(
        story.events[-1], after=encode(kernel.State(after.context, frozenset(), {**before.dots, **after.dots}), 1)
    )
    assert ["without a version" in violation.text for violation in check(story.evidence())][:1] == [True]


def test_more_siblings_than_the_limit_are_found() -> None:
    story = Story()
    token = story.mint("a", b"0:")
    state = decode(story.held["a", KEY])
    actor = next(iter(state.context))
    version = next(iter(state.dots.values()))
    many = {(actor, n): attrs.evolve(version, payload=b"%d:" % n, time=version.time + n) for n in range(2, 12)}
    story.put("a", encode(kernel.State({actor: 11}, frozenset(), many), 1))
    assert token
    assert any("the limit is 8" in violation.text for violation in check(story.evidence()))


def test_more_siblings_shown_than_were_written_are_found() -> None:
    story = siblings()
    shown(story, [b"1:", b"x", b"y", b"z"])
    assert ["shows 5 values" in violation.text for violation in check(story.evidence())] == [True]
