"""PULL and PAGE on the wire: what is read is what was meant, and nothing else is read."""

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from dynacache.config.transfer import PAGE_LIMIT_BYTES
from dynacache.placement.partitions import key_hash, partition_shift
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberTable
from dynacache.repair.copy_state import pack_state
from dynacache.repair.transfer_messages import (
    GHOST_BYTES,
    PARTITIONS_PER_PULL,
    Outcome,
    Part,
    Wanted,
    part_bytes,
    read_page,
    read_pull,
)
from dynacache.storage.snapshot import PACKED_GHOST_BYTES
from dynacache.wire.messages import PAGE, PULL
from tests.repair.transfer_world import record_of

COUNT = 16
SHIFT = partition_shift(COUNT)
KEY = b"key"
HOME = key_hash(KEY) >> SHIFT
RECORD = record_of()
PLACEMENT = Placement.from_table(MemberTable.of(bytes(16), COUNT, 3, ()))


def page_of(*parts: list[Any], state: Any = None, hints: Any = 0) -> list[Any]:
    message = (PAGE, 1, 0, pack_state(BitMap(), BitMap()) if state is None else state, hints, list(parts))
    unpacked: list[Any] = msgpack.unpackb(msgpack.packb(message))
    return unpacked


def read(message: Any, asked: set[int] | None = None) -> Any:
    return read_page(message, {HOME} if asked is None else asked, PLACEMENT)


def test_a_pull_is_read_as_it_was_meant() -> None:
    pull = read_pull([PULL, 1, 0, 0, [[3, 0, 77], [4, 1 << 40, 0]], 4_096], PLACEMENT)
    assert pull.wanted == [Wanted(3, 0, 77), Wanted(4, 1 << 40, 0)]
    assert pull.limit_bytes == 4_096


def test_a_pull_may_name_so_many_partitions_and_bytes() -> None:
    most = [[0, 0, 0]] * PARTITIONS_PER_PULL
    assert len(read_pull([PULL, 1, 0, 0, most, PAGE_LIMIT_BYTES], PLACEMENT).wanted) == PARTITIONS_PER_PULL
    with pytest.raises(ValueError, match="partitions: got list of length"):
        read_pull([PULL, 1, 0, 0, [*most, [0, 0, 0]], 1], PLACEMENT)
    with pytest.raises(ValueError, match="limit_bytes: got"):
        read_pull([PULL, 1, 0, 0, [], PAGE_LIMIT_BYTES + 1], PLACEMENT)


def test_a_page_is_read_as_it_was_meant() -> None:
    ghosts = bytes(2 * GHOST_BYTES)
    part = Part(HOME, Outcome.MORE, 9, [KEY, RECORD], ghosts)
    page = read(page_of(part.to_wire(), state=pack_state(BitMap([1]), BitMap([2, 3])), hints=4))
    assert page.parts == [part]
    assert (page.warming, page.stale, page.hints_left) == (BitMap([1]), BitMap([2, 3]), 4)
    assert page.size_bytes == part_bytes(part) == len(KEY) + len(RECORD) + len(ghosts)


def test_a_page_may_answer_fewer_partitions_than_were_asked_for() -> None:
    assert read(page_of(), {1, 2, 3}).parts == []


def test_ghosts_have_the_size_that_the_store_gives_them() -> None:
    assert GHOST_BYTES == PACKED_GHOST_BYTES


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ([(HOME + 1) % COUNT, 1, 0, [KEY, RECORD], b""], "expected one of partition"),
        ([(HOME + 1) % COUNT, 1, 0, [], b""], "expected one that was asked for"),
        ([HOME, 1, 0, [KEY], b""], "expected pairs"),
        ([HOME, 1, 0, [b"", RECORD], b""], "key: got"),
        ([HOME, 1, 0, ["key", RECORD], b""], "key: got"),
        ([HOME, 1, 0, [KEY, RECORD[:-17]], b""], "malformed"),
        ([HOME, 1, 0, [KEY, b"\x01" + RECORD[1:]], b""], "malformed"),
        ([HOME, 1, 0, [], b"short"], "ghosts: got"),
        ([HOME, 0, 0, [], b""], "cursor: got 0"),
        ([HOME, 1, 7, [], b""], "cursor: got 7"),
        ([HOME, 4, 0, [], b""], "outcome: got 4"),
        ([HOME, True, 0, [], b""], "outcome: got True"),
        ([HOME, 1, 0, []], "part: got"),
        (5, "part: got 5"),
    ],
)
def test_a_malformed_part_is_refused(part: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read(page_of(part))


def test_a_partition_may_have_one_part() -> None:
    part = [HOME, 1, 0, [], b""]
    with pytest.raises(ValueError, match="once"):
        read(page_of(part, part), {HOME, (HOME + 1) % COUNT})
    with pytest.raises(ValueError, match="parts: got"):
        read(page_of(part, part))


def test_a_state_must_name_partitions_that_exist() -> None:
    with pytest.raises(ValueError, match="partitions: got 16"):
        read(page_of(state=pack_state(BitMap([16]), BitMap())))


_JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 2**64 - 1), st.binary(max_size=40), st.just(KEY)),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)


@given(st.lists(_JUNK, max_size=8))
def test_junk_raises_what_a_malformed_message_raises(fields: list[Any]) -> None:
    for call in (lambda: read_pull([PULL, *fields], PLACEMENT), lambda: read([PAGE, *fields], set(range(COUNT)))):
        with contextlib.suppress(ValueError, LookupError, TypeError):
            call()
