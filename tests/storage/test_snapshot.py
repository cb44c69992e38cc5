"""A partition is handed over in pages, whatever happens to it meanwhile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.ghost_shard import Ghost
from dynacache.storage.snapshot import PACKED_GHOST_BYTES, Snapshot, pack_ghosts, unpack_ghosts
from dynacache.versioning import packed
from tests.storage.builders import START_MS, engine_of, key_of, tombstone, value

GHOSTS: list[Ghost] = [(number << 50, number << 16, number * 16, number) for number in range(1, 8)]


def read(snapshot: Snapshot, limit_bytes: int) -> tuple[list[bytes], bytes, int]:
    """Return all records, all ghosts and the number of pages."""
    records, ghosts, cursor, pages = [], b"", 0, 0
    while True:
        some, others, following = snapshot.page(cursor, limit_bytes)
        assert snapshot.page(cursor, limit_bytes) == (some, others, following), "a cursor may be asked for again"
        pages += 1
        records += some
        ghosts += others
        if following is None:
            return records, ghosts, pages
        assert following > cursor
        cursor = following


@given(st.integers(1, 3_000), st.integers(0, 12), st.integers(0, 5), st.integers(0, 7))
def test_everything_is_in_exactly_one_page_whatever_its_size(
    limit_bytes: int, live: int, deleted: int, ghosts: int
) -> None:
    engine = engine_of()
    for number in range(live):
        engine.put(0, key_of(number), value(number * 40))
    for number in range(deleted):
        engine.put(0, key_of(100 + number), tombstone())
    snapshot = engine.snapshot(0)
    snapshot.kept_ghosts.extend(GHOSTS[:ghosts])
    records, remembered, pages = read(snapshot, limit_bytes)
    expected = [(key, packed.strip_local(record)) for key, record in engine.items(0)]
    assert list(zip(records[::2], records[1::2], strict=True)) == expected
    assert unpack_ghosts(remembered) == GHOSTS[:ghosts]
    assert pages <= max(1, live + deleted + ghosts)


def test_a_page_keeps_to_its_limit_but_for_a_single_record() -> None:
    engine = engine_of()
    for number, length in enumerate((10, 10, 5_000, 10)):
        engine.put(0, key_of(number), value(length))
    snapshot = engine.snapshot(0)
    sizes = []
    cursor: int | None = 0
    while cursor is not None:
        records, _, cursor = snapshot.page(cursor, 300)
        sizes.append((len(records) // 2, sum(map(len, records))))
    assert sizes[1][0] == 1
    assert sizes[1][1] > 5_000
    assert [size for size in sizes if size[0] != 1] == [sizes[0]]
    assert sizes[0][1] <= 300


def test_what_went_is_skipped_what_changed_is_as_it_is_and_what_came_later_is_left_out() -> None:
    engine = engine_of()
    for number in range(4):
        engine.put(0, key_of(number), value())
    snapshot = engine.snapshot(0)
    engine.remove(0, key_of(1))
    newer, deleted = value(7), tombstone(old=engine.peek(0, key_of(3)))
    engine.put(0, key_of(2), newer)
    engine.put(0, key_of(3), deleted)
    engine.put(0, key_of(9), value())
    records, _, _ = read(snapshot, 1_000_000)
    assert records[::2] == [key_of(0), key_of(2), key_of(3)]
    assert records[3::2] == [packed.strip_local(newer), packed.strip_local(deleted)]


def test_an_empty_partition_has_one_empty_page() -> None:
    assert engine_of().snapshot(2).page(0, 1_000) == ([], b"", None)


def test_a_cursor_that_was_never_given_is_refused() -> None:
    for cursor in (-1, 1):
        with pytest.raises(ValueError, match="cursor"):
            engine_of().snapshot(0).page(cursor, 1_000)


def test_malformed_ghosts_are_refused() -> None:
    content = pack_ghosts(GHOSTS)
    assert len(content) == len(GHOSTS) * PACKED_GHOST_BYTES
    for bad in (content[:-1], "text", None):
        with pytest.raises(ValueError, match="ghosts"):
            unpack_ghosts(bad)  # type: ignore[arg-type]


def test_what_is_evicted_or_reaped_early_between_two_pages_is_in_a_later_one() -> None:
    source, target = engine_of(gc_grace_min_ms=1_000), engine_of()
    for number in range(6):
        source.put(1, key_of(number), packed.strip_local(value() if number else tombstone()))
    source.confirmed = lambda partition, prefix: True
    snapshot = source.snapshot(1)
    while source.peek(1, key_of(3)) is not None:
        source.evict_one()
    source.collect(START_MS + 60_000)
    assert source.statistics().reaped_early == 1
    cursor: int | None = 0
    while cursor is not None:
        records, ghosts, cursor = snapshot.page(cursor, 1)
        for place in range(0, len(records), 2):
            target.merge_cold(1, records[place], records[place + 1], START_MS + 60_000)
        target.take_ghosts(1, ghosts)
    assert target.root(1) == source.root(1)
    assert target.missing(1, key_of(3)) == source.missing(1, key_of(3)) == START_MS << 16
    assert target.superseded_before(1, key_of(0)) == START_MS << 16


@pytest.mark.parametrize("ghosts_first", [False, True])
def test_of_two_sources_the_one_that_has_evicted_a_newer_version_counts_in_either_order(ghosts_first: bool) -> None:
    source, target = engine_of(), engine_of()
    source.put(1, b"key", packed.strip_local(value(now_ms=START_MS + 10)))
    while source.peek(1, b"key") is not None:
        source.evict_one()
    ghosts = pack_ghosts(list(source._ghosts.of(1)))
    if ghosts_first:
        target.take_ghosts(1, ghosts)
        before = target.superseded_before(1, b"key")
        assert before is not None
        assert packed.since(value(), before) is None
    else:
        target.put(1, b"key", value())
        target.take_ghosts(1, ghosts)
    assert target.peek(1, b"key") is None
    assert target.missing(1, b"key") == (START_MS + 10) << 16
    assert target.root(1) == source.root(1)
    assert target.check_trees(1)


def test_a_ghost_that_is_dropped_leaves_misses_in_doubt_but_that_of_a_delete_does_not() -> None:
    store = engine_of()
    store.witness(1, 77 << 50, 16, 5, 0, True)
    store.drop_ghosts(1, [77 << 50])
    assert store.missing(1, b"key") is None
    store.witness(1, 77 << 50, 16, 5, 0, False)
    store.drop_ghosts(1, [77 << 50])
    assert store.missing(1, b"key") == 0, "a third copy may hold what was evicted here"
    assert store.has_forgotten(1)
    assert not store.has_forgotten(2)
    store.note_forgotten(2)
    assert store.missing(2, b"key") == 0
