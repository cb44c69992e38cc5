"""Which invalidation is about which key, by rules of the judge's own."""

import pytest

from dynacache.wire.epoch_names import ALL_TAGS, FLUSH, PATTERN, TAG, epoch_name
from sim.checkers.invalidations import Invalidations, concerns, matches, namespace_of
from sim.evidence import CatalogueEvent
from sim.history import OperationKind
from tests.sim.story import Story


@pytest.mark.parametrize(
    ("pattern", "key", "matched"),
    [(b"k1*", b"k12", True), (b"k1*", b"k2", False), (b"k?", b"k2", True), (b"k?", b"k22", False), (b"*", b"", True)],
)
def test_patterns(pattern: bytes, key: bytes, matched: bool) -> None:
    assert matches(pattern, key) is matched


def test_a_qualified_key_names_its_namespace() -> None:
    assert namespace_of(b"k1") == (b"", b"k1")
    assert namespace_of(b"\x00\x02abk1") == (b"ab", b"k1")


def seen(
    kind: int, namespace: bytes = b"", argument: bytes = b"", stamp: int = 100, at_s: float = 5.0
) -> Invalidations:
    event = CatalogueEvent(1, at_s, "a", 1, epoch_name(kind, namespace, argument), stamp, b"")
    return Invalidations.of(Story().evidence(catalogue=(event, CatalogueEvent(2, 6.0, "a", 1, b"Nx", 9, b""))))


def test_an_epoch_ends_what_is_not_later_and_of_its_kind() -> None:
    assert seen(FLUSH).ends(b"k", 100, ())
    assert not seen(FLUSH).ends(b"k", 101, ())
    assert not seen(FLUSH).ends(b"\x00\x01ak", 100, ())
    assert seen(FLUSH, b"a").ends(b"\x00\x01ak", 100, ())
    assert seen(TAG, argument=b"t").ends(b"k", 100, (b"s", b"t"))
    assert not seen(TAG, argument=b"t").ends(b"k", 100, (b"s",))
    assert seen(ALL_TAGS).ends(b"k", 100, (b"s",))
    assert not seen(ALL_TAGS).ends(b"k", 100, ())
    assert seen(PATTERN, argument=b"k*").ends(b"k5", 100, ())
    assert not seen(PATTERN, argument=b"k*").ends(b"l", 100, ())


def test_when_an_epoch_was_first_known() -> None:
    assert seen(TAG, argument=b"t").known_between(b"k", (b"t",), 4.0, 5.0)
    assert not seen(TAG, argument=b"t").known_between(b"k", (b"t",), 5.1, 9.0)
    assert not seen(TAG, argument=b"t").known_between(b"k", (), 4.0, 5.0)


def test_an_operation_concerns_what_its_epoch_would() -> None:
    story = Story()
    flush = story.call(OperationKind.FLUSH, b"", namespace=b"a")
    tag = story.call(OperationKind.INVALIDATE_TAG, b"", tag=b"t")
    assert concerns(flush, b"\x00\x01ak", ())
    assert not concerns(flush, b"k", ())
    assert concerns(tag, b"k", (b"t",))
    assert Invalidations.of(story.evidence()).operations == (flush, tag)


def test_tags_are_those_that_the_writer_gave() -> None:
    story = Story()
    story.call(OperationKind.SET, value=b"1:", tags=[b"t", b"u"])
    invalidations = Invalidations.of(story.evidence())
    assert invalidations.tags_of(b"1:") == (b"t", b"u")
    assert invalidations.tags_of(None) == invalidations.tags_of(b"2:") == ()
