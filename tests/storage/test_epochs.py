"""Epochs: what they concern, what they leave, and that they only rise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest
from dynacache.storage.epochs import Epochs
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.attachments import pack_tags
from dynacache.versioning.kernel import BLIND, EXPIRED, MAY_BE_OUTLIVED, TAGGED
from dynacache.wire.epoch_names import ALL_TAGS, FLUSH, PATTERN, TAG

MARGIN = 100
NOW_MS = 1_000


def record(time: int, *tags: bytes, unknown: bool = False) -> bytes:
    payload = (pack_tags(list(tags)) if tags else b"") + b"\xc0"
    flags = TAGGED if tags else 0
    return packed.write(None, ActorIssuer(1), time, 0, flags, payload, NOW_MS, None, unknown)[1]


def epochs_of(*raised: tuple[int, bytes, bytes, int]) -> Epochs:
    epochs = Epochs(MARGIN)
    for each in raised:
        assert epochs.raise_to(*each)
    return epochs


def test_no_epochs_are_false_and_end_nothing() -> None:
    epochs = Epochs(MARGIN)
    assert not epochs
    kept = record(5)
    assert epochs.left(b"k", kept) is kept


@pytest.mark.parametrize(
    ("kind", "argument", "ended", "spared"),
    [
        (FLUSH, b"", b"any", None),
        (PATTERN, b"user:*", b"user:7", b"users"),
        (PATTERN, b"?", b"k", b"key"),
        (PATTERN, b"[a-c]x", b"bx", b"dx"),
    ],
)
def test_an_epoch_ends_what_it_concerns_up_to_its_time(kind: int, argument: bytes, ended: bytes, spared: bytes) -> None:
    for namespace, prefix in ((b"", b""), (b"shop", b"\x00\x04shop")):
        epochs = epochs_of((kind, namespace, argument, 1_000))
        assert epochs.left(prefix + ended, record(1_000 - MARGIN)) is None
        young = record(1_000)
        left = epochs.left(prefix + ended, young)
        assert left is not None
        assert left[2] == MAY_BE_OUTLIVED | BLIND | EXPIRED, "within the margin a tombstone stays"
        assert epochs.is_dead(prefix + ended, young)
        later = record(1_001)
        assert epochs.left(prefix + ended, later) is later
        if spared is not None:
            other = record(1)
            assert epochs.left(prefix + spared, other) is other
        for elsewhere in (b"\x00\x05other" + ended, (b"\x00\x04shop" if not namespace else b"") + ended):
            untouched = record(1)
            assert epochs.left(elsewhere, untouched) is untouched


def test_a_key_that_begins_with_zero_is_of_the_default_namespace() -> None:
    epochs = epochs_of((PATTERN, b"", b"\x00key*", 1_000))
    assert epochs.left(b"\x00\x00\x00key7", record(1)) is None
    assert epochs.left(b"\x00\x00key7", record(1)) is not None


def test_a_tag_ends_what_has_it_and_all_tags_whatever_has_any() -> None:
    one, two, none = record(5, b"a", b"b"), record(5, b"b"), record(5)
    epochs = epochs_of((TAG, b"", b"a", 5))
    assert (epochs.left(b"k", one), epochs.left(b"k", two), epochs.left(b"k", none)) == (None, two, none)
    assert epochs.left(b"\x00\x01nk", one) is one
    assert epochs.left(b"k", record(6, b"a")) is not None
    epochs.raise_to(ALL_TAGS, b"", b"", 5)
    assert (epochs.left(b"k", two), epochs.left(b"k", none)) == (None, none)
    outlived = record(5, b"b", unknown=True)
    left = epochs.left(b"k", outlived)
    assert left is not None
    assert epochs.left(b"k", left) is left, "what is left is not tagged"
    epochs.raise_to(FLUSH, b"", b"", 500)
    assert epochs.left(b"k", left) is None, "a flush takes it with it"


def test_deletes_stay_within_the_margin_and_go_below_it() -> None:
    deleted = packed.delete(record(5), ActorIssuer(1), 950, NOW_MS)[1]
    assert epochs_of((FLUSH, b"", b"", 1_000)).left(b"k", deleted) is deleted
    assert epochs_of((FLUSH, b"", b"", 1_050)).left(b"k", deleted) is None
    assert epochs_of((TAG, b"", b"a", 9_000)).left(b"k", deleted) is deleted


def test_siblings_end_each_for_itself() -> None:
    both = packed.merge(record(5, b"a"), packed.write(None, ActorIssuer(2), 6, 0, 0, b"\xc0", NOW_MS)[1])
    epochs = epochs_of((TAG, b"", b"a", 50))
    left = epochs.left(b"k", both)
    assert left is not None
    assert left is not both
    assert not epochs.is_dead(b"k", both)
    assert epochs.left(b"k", left) is left
    assert epochs_of((FLUSH, b"", b"", 106)).left(b"k", both) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([FLUSH, TAG, PATTERN, ALL_TAGS]), st.sampled_from([b"", b"n"]), st.integers(1, 9))
    )
)
def test_epochs_merge_by_maximum_in_any_order(raised: list[tuple[int, bytes, int]]) -> None:
    def argument(kind: int) -> bytes:
        return b"x" if kind in (TAG, PATTERN) else b""

    forwards, backwards = Epochs(MARGIN), Epochs(MARGIN)
    for kind, namespace, at in raised:
        forwards.raise_to(kind, namespace, argument(kind), at)
    for kind, namespace, at in reversed(raised):
        backwards.raise_to(kind, namespace, argument(kind), at)
    highest: dict[tuple[int, bytes], int] = {}
    for kind, namespace, at in raised:
        highest[kind, namespace] = max(at, highest.get((kind, namespace), 0))
    for epochs in (forwards, backwards):
        assert epochs.count == len(highest)
        assert epochs.newest == max(highest.values(), default=0)
        assert epochs.namespaces() == sorted({namespace for _, namespace in highest})
        for (kind, namespace), at in highest.items():
            assert epochs.get(kind, namespace, argument(kind)) == at
    for kind, namespace in highest:
        forwards.drop(kind, namespace, argument(kind))
    forwards.measure()
    assert (bool(forwards), forwards.newest, forwards.namespaces()) == (False, 0, [])


def test_what_is_asked_before_a_fill() -> None:
    epochs = epochs_of((PATTERN, b"", b"u*", 7), (TAG, b"", b"a", 9), (FLUSH, b"n", b"", 4))
    assert (epochs.key_epoch(b"user"), epochs.key_epoch(b"k"), epochs.key_epoch(b"\x00\x01nk")) == (7, 0, 4)
    assert (
        epochs.tags_epoch(b"k", (b"a", b"b")),
        epochs.tags_epoch(b"k", ()),
        epochs.tags_epoch(b"\x00\x01nk", (b"a",)),
    ) == (9, 0, 0)
    assert epochs.patterns(b"") == {b"u*": 7}
    assert epochs.tags(b"") == {b"a": 9}
    assert epochs.tags(b"other") == {}


def test_a_bad_pattern_changes_nothing() -> None:
    epochs = Epochs(MARGIN)
    with pytest.raises(InvalidRequest):
        epochs.raise_to(PATTERN, b"", b"", 5)
    assert (epochs.count, epochs.namespaces()) == (0, [])


def test_what_is_remembered_of_a_block_of_tags_follows_the_epochs() -> None:
    epochs = epochs_of((TAG, b"", b"a", 10))
    both, long = record(20, b"a", b"b"), record(20, b"a", *(b"%0128d" % number for number in range(9)))
    for each in (both, long):
        assert epochs.left(b"k", each) is each
    epochs.raise_to(TAG, b"", b"other", 25)
    assert epochs.left(b"k", both) is both
    epochs.raise_to(TAG, b"", b"b", 30)
    assert epochs.left(b"k", both) is None
    assert epochs.left(b"k", long) is long
    epochs.raise_to(TAG, b"", b"a", 31)
    assert epochs.left(b"k", long) is None
    epochs.drop(TAG, b"", b"a")
    epochs.drop(TAG, b"", b"b")
    epochs.measure()
    assert epochs.left(b"k", both) is both
    epochs.raise_to(ALL_TAGS, b"", b"", 40)
    assert epochs.left(b"k", both) is epochs.left(b"k", long) is None


def test_blocks_that_are_remembered_are_bounded() -> None:
    epochs = epochs_of((TAG, b"", b"a", 10))
    for number in range(5_000):
        kept = record(5, b"t%d" % number)
        assert epochs.left(b"k", kept) is kept
        assert epochs._default is not None
        assert len(epochs._default.by_block) <= 2_048
