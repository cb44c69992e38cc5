"""I16 on made-up evidence."""

from typing import Any

from dynacache.wire.epoch_names import FLUSH, epoch_name
from sim.checkers.i16_scans import check
from sim.evidence import CatalogueEvent, Evidence, TableEvent
from sim.history import OperationKind, Outcome, StoreCause
from tests.sim.story import KEY, Story

OTHER = b"k1"


def scanned(story: Story, *keys: bytes, prefix: bytes = b"", begun: int | None = None, **more: Any) -> Evidence:
    story.call(OperationKind.SCAN, b"", result=list(keys), begun=begun, prefix=prefix)
    tables = (TableEvent(0, 0.0, "a", 1, (), (("a", "b", "c"),)),)
    return story.evidence(tables=tables, partitions={KEY: 0, OTHER: 0}, **more)


def test_what_all_owners_held_throughout_must_be_returned() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    assert check(scanned(story, KEY)) == []
    assert [violation.key for violation in check(scanned(story))] == [KEY]
    assert len(check(scanned(story, prefix=b"x"))) == 1, "only the scan before is judged for it"


def test_what_one_owner_lacks_came_later_or_ends_may_be_left_out() -> None:
    story = Story()
    story.set("a", b"1:", "b")
    story.set("a", b"2:", "b", "c", key=OTHER, ttl_ms=5_000)
    assert check(scanned(story)) == []
    story = Story()
    begun = story.step()
    story.set("a", b"1:", "b", "c")
    assert check(scanned(story, begun=begun)) == []


def test_what_was_evicted_or_invalidated_meanwhile_may_be_left_out() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    begun = story.step()
    story.drop("c", StoreCause.EVICT)
    story.merge("a", "c")
    assert check(scanned(story, begun=begun)) == []
    story = Story()
    story.set("a", b"1:", "b", "c")
    flushed = CatalogueEvent(1, 0.0, "a", 1, epoch_name(FLUSH, b""), 1 << 63, b"")
    assert check(scanned(story, catalogue=(flushed,))) == []


def test_a_key_that_nobody_wrote_is_made_up() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    assert [violation.key for violation in check(scanned(story, KEY, b"k9"))] == [b"k9"]


def test_a_scan_that_failed_promises_nothing() -> None:
    story = Story()
    story.set("a", b"1:", "b", "c")
    story.call(OperationKind.SCAN, b"", outcome=Outcome.FAILED, result=None, prefix=b"")
    assert check(story.evidence()) == []
