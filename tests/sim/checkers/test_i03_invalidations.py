"""I3 of invalidations, on made-up evidence: green where it may be, red where it must."""

from typing import Any

import pytest

from dynacache.types import Level
from dynacache.wire.epoch_names import TAG, epoch_name
from sim.checkers.i03_invalidations import check
from sim.evidence import CatalogueEvent, MachineEvent
from sim.faults.schedule import Fault
from sim.history import OperationKind, OperationRecord, Outcome, StoreCause
from tests.sim.story import Story


def tagged(story: Story, value: bytes = b"1:") -> None:
    """A write with the tag t, on all nodes."""
    begun = story.step()
    story.mint("a", value)
    for other in ("b", "c"):
        story.merge("a", other)
    story.call(OperationKind.SET, begun=begun, value=value, tags=[b"t"])


def invalidate(story: Story, level: int = Level.QUORUM, **given: Any) -> OperationRecord:
    return story.call(OperationKind.INVALIDATE_TAG, b"", level=level, tag=b"t", **given)


def strict(story: Story, value: bytes | None = b"1:", **metadata: Any) -> None:
    record = story.read(value, Level.STRICT_QUORUM)
    record.metadata.update(metadata)


def test_what_was_read_before_or_written_after_is_no_breach() -> None:
    story = Story()
    tagged(story)
    strict(story)
    invalidate(story)
    strict(story, None)
    tagged(story, b"2:")
    strict(story, b"2:")
    assert check(story.evidence()) == []


def test_an_invalidated_value_that_is_read_is_found() -> None:
    story = Story()
    tagged(story)
    invalidate(story)
    strict(story)
    assert [violation.invariant for violation in check(story.evidence())] == ["I3"]


@pytest.mark.parametrize("level", [Level.ONE, Level.QUORUM])
def test_only_reads_that_asked_a_quorum_of_owners_are_judged(level: Level) -> None:
    story = Story()
    tagged(story)
    invalidate(story)
    read = story.read(b"1:", level)
    assert check(story.evidence()) == []
    read.metadata["receipt"] = {"stood_in": ["d"]}
    assert check(story.evidence()) == []
    read.metadata["receipt"] = {"stood_in": []}
    assert bool(check(story.evidence())) is (level == Level.QUORUM)
    assert check(story.evidence(final_reads=(read,))) != []


def test_what_was_not_acknowledged_or_is_beyond_the_fault_model_binds_nobody() -> None:
    for given in ({"outcome": Outcome.UNKNOWN}, {"level": Level.ONE}):
        story = Story()
        tagged(story)
        invalidate(story, **given)
        strict(story)
        assert check(story.evidence()) == []
    story = Story()
    tagged(story)
    invalidate(story)
    strict(story)
    crashes = tuple(MachineEvent(0, story.now_s, name, "crashed", 1) for name in ("a", "b"))
    assert check(story.evidence(machines=crashes[:1])) != []
    assert check(story.evidence(machines=crashes)) == []
    assert (
        check(story.evidence(faults=(Fault(0.0, "clock_wrong", {"node": "a", "offset_ms": 9000, "duration_s": 1.0}),)))
        == []
    )


def test_an_invalidated_value_that_is_held_at_the_end_is_found() -> None:
    story = Story()
    tagged(story)
    late = ((story.now_ms() << 16) + 1_000_000,)
    early = (1,)
    events = [(CatalogueEvent(1, 0.0, "a", 1, epoch_name(TAG, b"", b"t"), stamp, b""),) for (stamp,) in (late, early)]
    assert len(check(story.evidence(catalogue=events[0]))) == 3
    assert check(story.evidence(catalogue=events[1])) == []
    for node in story.names:
        story.drop(node, StoreCause.INVALIDATE)
    assert check(story.evidence(catalogue=events[0])) == []


def filled(story: Story, token_sequence: int, value: bytes = b"9:") -> None:
    begun = story.step()
    story.mint("b", value)
    record = story.call(OperationKind.FILL, begun=begun, value=value, tags=[b"t"])
    record.metadata["token_sequence"] = token_sequence


def test_a_fill_that_began_before_an_invalidation_is_invalidated() -> None:
    story = Story()
    token = story.step()
    invalidate(story)
    filled(story, token)
    strict(story, b"9:")
    assert check(story.evidence()) != []
    story = Story()
    invalidate(story)
    filled(story, story.step())
    strict(story, b"9:")
    assert check(story.evidence()) == []


def test_a_fill_that_had_not_seen_a_write_is_never_read_after_it() -> None:
    story = Story()
    token = story.step()
    story.set("a", b"1:", "c")
    filled(story, token)
    strict(story, b"9:")
    assert ["a fill that had not seen" in violation.text for violation in check(story.evidence())] == [True]
    story.drop("a", StoreCause.EVICT)
    assert check(story.evidence()) == []
    story = Story()
    story.set("a", b"1:", "b", "c")
    filled(story, story.step())
    strict(story, b"9:")
    assert check(story.evidence()) == [], "it had seen the write"
