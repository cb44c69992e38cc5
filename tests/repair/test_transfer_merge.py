"""What of a page reaches the store."""

from typing import Any

from dynacache.errors import InvalidRequest
from dynacache.placement.table import MemberState
from dynacache.repair.transfer_merge import Merger
from dynacache.repair.transfer_messages import GHOST_BYTES, Outcome, Part
from tests.repair.transfer_world import FakeStore, Member, World, record_of, table_of

GHOSTS = bytes(GHOST_BYTES)


def merger_of(fresh: Any = lambda _partition, _key, record: record) -> tuple[Merger, FakeStore, Member]:
    port = World(table_of({"a": MemberState.NORMAL}, 16)).members["a"]
    return Merger(port, port.store, fresh), port.store, port


def part_of(*keys: bytes, ghosts: bytes = b"") -> Part:
    return Part(3, Outcome.LAST, 0, [each for key in keys for each in (key, record_of())], ghosts)


def test_records_and_ghosts_reach_the_store() -> None:
    merger, store, _ = merger_of()
    assert merger.merge(part_of(b"one", b"two", ghosts=GHOSTS))
    assert list(store.records[3]) == [b"one", b"two"]
    assert store.ghosts[3] == GHOSTS


def test_what_was_superseded_is_not_taken() -> None:
    merger, store, _ = merger_of(lambda _, key, record: None if key == b"old" else record)
    assert merger.merge(part_of(b"old", b"new"))
    assert list(store.records[3]) == [b"new"]


def test_where_nothing_fits_the_part_is_not_merged() -> None:
    merger, store, _ = merger_of()
    store.is_full = True
    assert not merger.merge(part_of(b"one"))
    assert merger.did_not_fit == 1


def test_what_there_is_no_room_for_is_counted() -> None:
    merger, store, _ = merger_of()
    store.refused.add(b"one")
    assert merger.merge(part_of(b"one", b"two"))
    assert list(store.records[3]) == [b"two"]
    assert merger.refused == 1


def test_a_record_that_is_refused_for_itself_is_left_out_and_told() -> None:
    merger, store, port = merger_of()
    take = store.merge_cold

    def picky(partition: int, key: bytes, record: bytes, now_ms: int) -> int:
        if key == b"large":
            raise InvalidRequest("the value is too large")
        return take(partition, key, record, now_ms)

    store.merge_cold = picky  # type: ignore[method-assign]
    assert merger.merge(part_of(b"large", b"small"))
    assert list(store.records[3]) == [b"small"]
    assert merger.left_out == 1
    assert port.noted("transfer.left_out") == [{"partition": 3, "reason": "the value is too large"}]
