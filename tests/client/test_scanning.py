"""Scans at the client: what is asked, what pages of several owners come to, and what is refused before it is sent."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client.calls import Call
from dynacache.client.routing import Endpoint
from dynacache.client.scanning import ScanPage, ScanWalk, page_call, selection
from dynacache.errors import InvalidRequest, NotEnoughReplicas, ProtocolError, UnavailableError
from dynacache.wire.cursors import pack_cursor, unpack_cursor
from dynacache.wire.messages import FLAG_ONE_PARTITION, SCANNED

ENDPOINTS = [Endpoint((f"n{number}", 1)) for number in range(3)]
PARTITIONS = 16


class Copies:
    """What every owner holds, by partition; all own everything."""

    def __init__(self, held: list[dict[int, list[bytes]]]) -> None:
        self.held = held
        self.failed: set[int] = set()
        self.unusable: set[int] = set()
        self.asked = 0

    def owners(self, partition: int) -> Sequence[tuple[Endpoint, bool]]:
        """As a session tells them."""
        if partition >= PARTITIONS:
            return []
        return [(endpoint, number not in self.unusable) for number, endpoint in enumerate(ENDPOINTS)]

    def answer(self, call: Call[Any]) -> None:
        """End a call as its node would."""
        self.asked += 1
        _, _, cursor, prefix, _, count, _, flags = call.message
        partition, after = unpack_cursor(cursor)
        number = 0 if call.address is None else [each.address for each in ENDPOINTS].index(call.address)
        if number in self.failed:
            call.error = NotEnoughReplicas("not complete")
            return
        found: list[bytes] = []
        while partition < PARTITIONS:
            for key in sorted(self.held[number].get(partition, ())):
                if key > after and key.startswith(prefix):
                    found.append(key)
                    if len(found) == count:
                        call.reply = [SCANNED, 1, pack_cursor(partition, key), found]
                        return
            partition, after = partition + 1, b""
            if flags & FLAG_ONE_PARTITION:
                break
        call.reply = [SCANNED, 1, pack_cursor(partition) if partition < PARTITIONS else b"", found]


def walk(copies: Copies, level: str | None, count: int = 3) -> list[bytes]:
    """A whole walk."""
    steps = ScanWalk.of(selection(b"", b"", None, count), level, None, copies.owners)
    found: list[bytes] = []
    while calls := steps.calls():
        for call in calls:
            copies.answer(call)
        found += steps.take(calls, 0)
    return found


_HELD = st.lists(
    st.dictionaries(
        st.integers(0, PARTITIONS - 1), st.lists(st.binary(min_size=2, max_size=3).map(lambda key: b"k" + key))
    ),
    min_size=3,
    max_size=3,
)


@given(held=_HELD, count=st.integers(1, 5))
def test_above_level_one_whatever_any_owner_has_is_returned_once(
    held: list[dict[int, list[bytes]]], count: int
) -> None:
    # A key is of one partition: the first that drew it.
    homes: dict[bytes, int] = {}
    for copy in held:
        for partition, keys in copy.items():
            copy[partition] = [key for key in keys if homes.setdefault(key, partition) == partition]
    copies = Copies(held)
    for level in ("quorum", "all"):
        found = walk(copies, level, count)
        assert len(found) == len(set(found))
        assert set(found) == {key for copy in held for keys in copy.values() for key in keys}
    assert set(walk(copies, None, count)) == {key for keys in held[0].values() for key in keys}


def test_a_majority_must_answer_at_quorum_and_everyone_at_all() -> None:
    copies = Copies([{3: [b"a"]}, {3: [b"b"]}, {3: [b"c"]}])
    copies.failed = {1}
    assert walk(copies, "quorum") == [b"a", b"c"]
    with pytest.raises(NotEnoughReplicas):
        walk(copies, "all")
    copies.failed = {1, 2}
    with pytest.raises(NotEnoughReplicas):
        walk(copies, "quorum")
    assert walk(copies, "one") == [b"a"]
    copies.failed = {0}
    with pytest.raises(NotEnoughReplicas):
        walk(copies, "one")


def test_owners_that_seem_unwell_are_left_out_where_others_are_enough() -> None:
    copies = Copies([{}, {}, {}])
    walk(copies, "quorum")
    assert copies.asked == 3 * PARTITIONS
    copies.unusable, copies.asked = {2}, 0
    walk(copies, "quorum")
    assert copies.asked == 2 * PARTITIONS
    copies.unusable, copies.asked = {1, 2}, 0
    walk(copies, "quorum")
    assert copies.asked == 3 * PARTITIONS


def test_without_a_topology_only_level_one_can_scan() -> None:
    steps = ScanWalk.of(selection(b"", b"", None, None), "quorum", None, lambda _: [])
    with pytest.raises(UnavailableError, match="who owns what"):
        steps.calls()
    assert len(ScanWalk.of(selection(b"", b"", None, None), None, None, lambda _: []).calls()) == 1


def test_a_page_is_asked_of_an_owner_of_its_partition() -> None:
    call = page_call(selection(b"", "user:", None, 9), pack_cursor(7, b"user:5"), 2.0)
    assert (call.partition, call.repeatable, call.changes, call.timeout_s) == (7, True, False, 2.0)
    call.reply = [SCANNED, 1, b"", [b"user:6"]]
    assert call.result(0) == ScanPage((b"user:6",), None)
    call.reply = [SCANNED, 1, "x", []]
    with pytest.raises(ProtocolError):
        call.result(0)


@pytest.mark.parametrize(
    ("head", "prefix", "sent", "key", "plain"),
    [
        (b"", "user:", b"user:", b"user:1", b"user:1"),
        (b"", b"\0raw", b"\0\0\0raw", b"\0\0\0raw1", b"\0raw1"),
        (b"\0\x04team", "user:", b"\0\x04teamuser:", b"\0\x04teamuser:1", b"user:1"),
    ],
)
def test_keys_are_qualified_on_the_way_out_and_plain_on_the_way_in(
    head: bytes, prefix: bytes | str, sent: bytes, key: bytes, plain: bytes
) -> None:
    call = page_call(selection(head, prefix, None, None), None, None)
    assert call.message[3] == sent
    call.reply = [SCANNED, 1, b"", [key]]
    assert call.result(0).keys == (plain,)


def test_a_pattern_narrows_the_prefix() -> None:
    assert selection(b"", b"", "user:[0-9]*", None).prefix == b"user:"
    assert selection(b"", "us", "user:*", None).prefix == b"us"


@pytest.mark.parametrize(
    ("prefix", "pattern", "count", "text"),
    [
        (7, None, None, "prefix: got 7"),
        ("", 7, None, "pattern: got 7"),
        ("", "", None, "pattern: got 0 bytes"),
        ("", None, 0, "count: got 0"),
        ("", None, 5_000, "count: got 5000"),
        ("x" * 1_200, None, None, "prefix: got 'xxx"),
    ],
)
def test_what_is_wrong_is_refused_before_it_is_sent(prefix: Any, pattern: Any, count: Any, text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        selection(b"", prefix, pattern, count)


def test_levels_that_scans_do_not_have_are_refused() -> None:
    for level in ("strict_quorum", "strong"):
        with pytest.raises(InvalidRequest, match=f"level: got {level}"):
            ScanWalk.of(selection(b"", b"", None, None), level, None, lambda _: [])
