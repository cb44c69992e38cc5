"""What is decided about one key, seen from both sides: the two views agree, and carrying it out ends the difference."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.repair.differences import (
    BOTH,
    DROP_OURS,
    DROP_THEIRS,
    ENTRY_BYTES,
    LEAVE,
    SEND,
    TELL,
    WANT,
    WITNESS,
    Entry,
    decide,
    has_room,
    pack_entries,
    unpack_entries,
)
from dynacache.repair.exchange_store import GHOST, REAPED, RESIDENT, TOMBSTONE

ENTRIES = st.builds(
    Entry,
    fingerprint=st.just(1),
    version_hash=st.integers(1, 3),
    time_ms=st.integers(1, 3),
    expire_s=st.just(0),
    kind=st.integers(0, 3),
)
MIRRORED = {
    LEAVE: LEAVE,
    SEND: WANT,
    WANT: SEND,
    BOTH: BOTH,
    TELL: WITNESS,
    WITNESS: TELL,
    DROP_OURS: DROP_THEIRS,
    DROP_THEIRS: DROP_OURS,
}


def _entry(kind: int, time_ms: int = 5, version_hash: int = 0) -> Entry:
    return Entry(1, version_hash or 10 * time_ms + kind, time_ms, 0, kind)


@given(st.none() | ENTRIES, st.none() | ENTRIES, st.booleans(), st.booleans())
def test_both_sides_decide_alike(ours: Entry | None, theirs: Entry | None, we: bool, they: bool) -> None:
    if ours is None and theirs is None:
        return
    assert MIRRORED[decide(ours, theirs, we, they)] == decide(theirs, ours, they, we)


@pytest.mark.parametrize(
    ("ours", "theirs", "admitted", "expected"),
    [
        (None, _entry(RESIDENT), True, WANT),
        (None, _entry(RESIDENT), False, WITNESS),
        (None, _entry(TOMBSTONE), False, WANT),
        (None, _entry(GHOST), True, DROP_THEIRS),
        (None, _entry(REAPED), True, DROP_THEIRS),
        (_entry(RESIDENT, 4), _entry(RESIDENT, 5), False, WANT),
        (_entry(RESIDENT, 5, 1), _entry(TOMBSTONE, 5, 2), False, BOTH),
        (_entry(GHOST, 4), _entry(RESIDENT, 5), True, WANT),
        (_entry(GHOST, 4), _entry(RESIDENT, 5), False, WITNESS),
        (_entry(GHOST, 4), _entry(TOMBSTONE, 5), False, WANT),
        (_entry(GHOST, 6), _entry(RESIDENT, 5), True, LEAVE),
        (_entry(GHOST, 6), _entry(TOMBSTONE, 5), True, LEAVE),
        (_entry(REAPED, 6), _entry(RESIDENT, 5), True, TELL),
        (_entry(REAPED, 6), _entry(TOMBSTONE, 5), True, LEAVE),
        (_entry(GHOST, 4), _entry(GHOST, 5), True, WITNESS),
        (_entry(REAPED, 6), _entry(GHOST, 5), True, TELL),
        (_entry(GHOST, 5, 1), _entry(GHOST, 5, 2), True, LEAVE),
        (_entry(RESIDENT, 5, 9), _entry(GHOST, 7, 9), True, LEAVE),
    ],
)
def test_the_table(ours: Entry | None, theirs: Entry, admitted: bool, expected: int) -> None:
    assert decide(ours, theirs, admitted, True) == expected


def test_a_value_never_travels_to_a_full_node_that_does_not_hold_it() -> None:
    for kind, time_ms in product((None, GHOST, REAPED), (1, 5, 9)):
        ours = None if kind is None else _entry(kind, time_ms)
        assert decide(ours, _entry(RESIDENT, 5), False, True) in (WITNESS, LEAVE, TELL)


@given(st.none() | ENTRIES, st.none() | ENTRIES, st.booleans(), st.booleans())
def test_carried_out_it_ends_the_difference_or_is_left(
    ours: Entry | None, theirs: Entry | None, we: bool, they: bool
) -> None:
    """A model of merging: the newer record wins, ties by hash; a ghost takes the other's place."""
    if ours is None and theirs is None:
        return
    for _ in range(2):
        action = decide(ours, theirs, we, they) if ours or theirs else LEAVE
        if action in (SEND, WANT, BOTH):
            merged = max((e for e in (ours, theirs) if e), key=lambda e: (e.is_held, e.time_ms, e.version_hash))
            ours = theirs = merged
        elif action == TELL:
            assert ours is not None
            theirs = Entry(1, ours.version_hash, ours.time_ms, 0, GHOST)
        elif action == WITNESS:
            assert theirs is not None
            ours = Entry(1, theirs.version_hash, theirs.time_ms, 0, GHOST)
        elif action == DROP_OURS:
            ours = None
        elif action == DROP_THEIRS:
            theirs = None
    assert action == LEAVE or (ours and ours.version_hash) == (theirs and theirs.version_hash)


@given(st.lists(st.builds(Entry, *[st.integers(0, 2**64 - 1)] * 3, st.integers(0, 2**32 - 1), st.integers(0, 3))))
def test_entries_travel(entries: list[Entry]) -> None:
    packed = pack_entries(entries)
    assert len(packed) == ENTRY_BYTES * len(entries)
    assert unpack_entries(packed) == entries


@pytest.mark.parametrize("packed", [None, "x", b"12345", bytes(28) + b"\x04"])
def test_malformed_entries_are_refused(packed: object) -> None:
    with pytest.raises(ValueError, match="entries"):
        unpack_entries(packed)


def test_an_entry_is_made_of_what_a_store_lists() -> None:
    entry = Entry.of((3, 11, 22, TOMBSTONE, 5_000, 9_000, b"key"))
    assert entry == Entry(11, 22, 5_000, 9, TOMBSTONE)
    assert entry.ghost == (11, 22, 5_000 << 16, 9, True)
    assert entry.is_held
    assert Entry.of((3, 11, 22, GHOST, 5_000, 0, None)).ghost == (11, 22, 5_000 << 16, 0, False)


@pytest.mark.parametrize(
    ("room", "key", "expected"),
    [
        (True, b"k", True),
        (False, b"k", False),
        (True, None, True),
        ([b"a", b"b"], b"k", True),
        ([b"a", b"k"], b"key", False),
        ([b"k"], None, True),
        ([7, None], b"k", True),
        (None, b"k", False),
        (1, b"k", False),
        ("yes", b"k", False),
    ],
)
def test_room_is_told_for_all_keys_or_but_for_some_prefixes(room: object, key: bytes | None, expected: bool) -> None:
    assert has_room(room, key) is expected
