"""Packets prove their origin and their freshness; anything else is refused by name and never raises."""

import itertools

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership import datagram
from dynacache.membership.datagram import MESSAGES_LIMIT, DatagramCodec, Packet, Rejection
from dynacache.membership.messages import ACK, PING, Ack, Ping

NOW_MS = 1_700_000_000_000
PING_PACKED: bytes = msgpack.packb([PING, 7, "b"])
OLD, NEW = b"old key", b"new key" * 20


def codec(name: str = "a", keys: tuple[bytes, ...] = (OLD,), cluster: bytes = b"c", **changes: int) -> DatagramCodec:
    made = DatagramCodec(MembershipConfig(**changes), name, cluster)
    made.set_keyring(keys)
    return made


def accepted(outcome: Packet | Rejection) -> Packet:
    assert isinstance(outcome, Packet)
    return outcome


def test_a_packet_reads_back() -> None:
    payload = codec().encode([PING_PACKED, msgpack.packb([ACK, 9])], NOW_MS)
    assert codec("b").decode(payload, NOW_MS) == Packet("a", NOW_MS, [Ping(7, "b"), Ack(9)], 0)


def test_unknown_messages_are_skipped_and_counted() -> None:
    payload = codec().encode([msgpack.packb([200, "later"]), PING_PACKED, msgpack.packb("?")], NOW_MS)
    packet = accepted(codec("b").decode(payload, NOW_MS))
    assert (packet.messages, packet.skipped) == ([Ping(7, "b")], 2)


def test_a_packet_is_accepted_once() -> None:
    payload = codec().encode([PING_PACKED], NOW_MS)
    receiver = codec("b")
    accepted(receiver.decode(payload, NOW_MS))
    assert receiver.decode(payload, NOW_MS + 10) is Rejection.REPLAY


@pytest.mark.parametrize("skew_ms", [-30_001, 30_001])
def test_clocks_too_far_apart_are_refused(skew_ms: int) -> None:
    payload = codec().encode([PING_PACKED], NOW_MS)
    assert codec("b").decode(payload, NOW_MS + skew_ms) is Rejection.CLOCK
    accepted(codec("b").decode(payload, NOW_MS + skew_ms // 2))


def test_stamps_of_one_sender_differ_even_within_a_millisecond_and_follow_a_clock_that_was_set_back() -> None:
    sender, receiver = codec(), codec("b")
    times_ms = [NOW_MS] * 50 + [NOW_MS - 500] * 50 + [NOW_MS - 5_000] * 50
    packets = [accepted(receiver.decode(sender.encode([], now_ms), NOW_MS)) for now_ms in times_ms]
    assert packets[-1].stamp_ms == NOW_MS - 5_000


def test_keys_rotate_without_a_gap() -> None:
    stages = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    for earlier, later in itertools.pairwise(stages):
        for sends, reads in ((earlier, later), (later, earlier)):
            accepted(codec("b", reads).decode(codec("a", sends).encode([PING_PACKED], NOW_MS), NOW_MS))
    assert codec("b", (NEW,)).decode(codec("a", (OLD,)).encode([], NOW_MS), NOW_MS) is Rejection.CODE


def test_without_keys_only_the_cluster_counts() -> None:
    payload = codec("a", ()).encode([], NOW_MS)
    accepted(codec("b", ()).decode(payload, NOW_MS))
    assert codec("b").decode(payload, NOW_MS) is Rejection.CODE
    assert codec("b", ()).decode(codec("a", (OLD,)).encode([], NOW_MS), NOW_MS) is Rejection.CODE


@pytest.mark.parametrize(("keys", "named"), [((b"",), "empty key"), ((b"k",) * 17, "17 keys")])
def test_bad_keyrings_are_refused_and_change_nothing(keys: tuple[bytes, ...], named: str) -> None:
    receiver = codec("b")
    with pytest.raises(ValueError, match=named):
        receiver.set_keyring(keys)
    accepted(receiver.decode(codec().encode([], NOW_MS), NOW_MS))


def test_another_cluster_is_refused_before_its_code_is_looked_at() -> None:
    assert codec("b").decode(codec(cluster=b"other", keys=(NEW,)).encode([], NOW_MS), NOW_MS) is Rejection.CLUSTER


@pytest.mark.parametrize(("low", "high", "is_met"), [(1, 1, False), (1, 2, True), (3, 4, True), (5, 5, False)])
def test_version_ranges_must_meet(low: int, high: int, is_met: bool) -> None:
    payload = codec(protocol_minimum=low, protocol_maximum=high).encode([], NOW_MS)
    outcome = codec("b", protocol_minimum=2, protocol_maximum=3).decode(payload, NOW_MS)
    assert isinstance(outcome, Packet) if is_met else outcome is Rejection.VERSION


def test_sizes_out_of_range_are_refused() -> None:
    assert codec().decode(b"", NOW_MS) is Rejection.SIZE
    assert codec().decode(b"dg" * 14, NOW_MS) is Rejection.SIZE
    assert codec().decode(b"dg" * 1_000, NOW_MS) is Rejection.SIZE
    assert codec().decode(b"xx" * 40, NOW_MS) is Rejection.MARK


def test_a_full_packet_fits_exactly() -> None:
    sender = codec()
    filling = msgpack.packb(b"x" * (sender.room_bytes - 3 - 3 * (MESSAGES_LIMIT - 1)))
    messages = [msgpack.packb([ACK, 1])] * (MESSAGES_LIMIT - 1) + [filling]
    payload = sender.encode(messages, NOW_MS)
    assert 1_390 <= len(payload) <= 1_400


@pytest.mark.parametrize(
    "body",
    [
        [],
        ["a"],
        ["a", "stamp"],
        [b"a", 1],
        ["", NOW_MS << 16],
        ["x" * 65, NOW_MS << 16],
        ["a", -1],
        ["a", True],
        {},
        7,
        ["a", NOW_MS << 16, *[[ACK, 1]] * 65],
    ],
)
def test_signed_nonsense_is_malformed(body: object) -> None:
    assert codec("b").decode(signed(msgpack.packb(body)), NOW_MS) is Rejection.MALFORMED


def signed(body: bytes) -> bytes:
    """A packet with a right header around any body: what only a broken member could send."""
    sender = codec()
    return sender._prefix + datagram._code(sender._hashes[0], body) + body


@given(st.binary(max_size=1_500))
def test_no_bytes_raise(payload: bytes) -> None:
    assert isinstance(codec("b").decode(payload, NOW_MS), Rejection)


@given(st.binary(max_size=200))
def test_no_signed_bytes_raise(body: bytes) -> None:
    codec("b").decode(signed(body), NOW_MS)


@given(st.data())
def test_a_packet_changed_anywhere_is_refused(data: st.DataObject) -> None:
    payload = bytearray(codec().encode([PING_PACKED], NOW_MS))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] ^= data.draw(st.integers(1, 255))
    assert isinstance(codec("b").decode(bytes(payload), NOW_MS), Rejection)
