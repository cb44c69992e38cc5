"""The network: order of streams, cuts that hold and release, losses, silence, and the fate of datagrams."""

from typing import Any

import attrs
import pytest

from sim.draws import Draws
from sim.world.heap import START_S, Heap
from sim.world.network import CONNECT_TIMEOUT_S, UNACKNOWLEDGED_LIMIT_S, End, Network


@attrs.define(eq=False)
class FakeHost:
    """A host that keeps what comes."""

    name: str
    listens: bool = True
    ends: list[End] = attrs.field(factory=list)
    streams: list[bytes | None] = attrs.field(factory=list)
    packets: list[bytes] = attrs.field(factory=list)
    full: list[bool] = attrs.field(factory=list)

    def accept(self, end: End) -> bool:
        self.ends.append(end)
        return self.listens

    def arrived(self, end: End, data: bytes | None) -> None:
        self.streams.append(data)

    def datagram(self, payload: bytes, address: tuple[str, int]) -> None:
        self.packets.append(payload)

    def blocked(self, end: End, blocked: bool) -> None:
        self.full.append(blocked)


@attrs.define(eq=False)
class Pair:
    """Two hosts and what lies between them."""

    heap: Heap = attrs.field(factory=Heap)
    a: FakeHost = attrs.field(factory=lambda: FakeHost("a"))
    b: FakeHost = attrs.field(factory=lambda: FakeHost("b"))
    network: Network = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.network = Network(self.heap, Draws(1), 0.001, 0.01)
        self.network.hosts = {("a", 1): self.a, ("b", 1): self.b}

    def dial(self) -> list[End | None]:
        made: list[End | None] = []
        self.network.dial(self.a, ("b", 1), "test", made.append)
        return made

    def connect(self) -> End:
        made = self.dial()
        self.advance(1.0)
        assert made[0] is not None
        return made[0]

    def advance(self, seconds: float) -> None:
        self.heap.run(self.heap.now_s + seconds)


def test_a_stream_keeps_its_order_whatever_the_delays() -> None:
    pair = Pair()
    end = pair.connect()
    sent = [b"%d" % number for number in range(200)]
    for data in sent:
        pair.network.send(end, data)
    pair.network.close(end)
    pair.advance(1.0)
    assert pair.b.streams == [*sent, None]


def test_nobody_there_is_refused_at_once_or_found_out_by_waiting() -> None:
    pair = Pair()
    pair.b.listens = False
    refused = pair.dial()
    pair.advance(0.5)
    assert refused == [None]
    pair.network.silent.add("b")
    waiting = pair.dial()
    pair.advance(CONNECT_TIMEOUT_S - 0.1)
    assert waiting == []
    pair.advance(0.2)
    assert waiting == [None]


def test_a_cut_holds_back_one_direction_and_lets_go_in_order() -> None:
    pair = Pair()
    end = pair.connect()
    pair.network.cut("a", "b")
    pair.network.cut("a", "b")
    for data in (b"1", b"2"):
        pair.network.send(end, data)
    assert end.other is not None
    pair.network.send(end.other, b"back")
    pair.advance(5.0)
    assert (pair.b.streams, pair.a.streams) == ([], [b"back"])
    pair.network.mend("a", "b")
    pair.advance(1.0)
    assert pair.b.streams == [], "the other reason still holds"
    pair.network.mend("a", "b")
    pair.network.send(end, b"3")
    pair.advance(1.0)
    assert pair.b.streams == [b"1", b"2", b"3"]


def test_a_cut_that_lasts_breaks_the_stream() -> None:
    pair = Pair()
    end = pair.connect()
    pair.network.cut("a", "b")
    pair.network.send(end, b"lost")
    pair.advance(UNACKNOWLEDGED_LIMIT_S + 1)
    assert (pair.a.streams, pair.b.streams) == ([None], [None])


def test_a_full_stream_says_so_and_says_when_it_has_room() -> None:
    pair = Pair()
    end = pair.connect()
    end.high_water_bytes = 10
    pair.network.cut("a", "b")
    pair.network.send(end, b"x" * 10)
    assert pair.a.full == []
    pair.network.send(end, b"x")
    assert pair.a.full == [True]
    pair.network.mend("a", "b")
    assert pair.a.full == [True, False]


def test_a_close_behind_a_cut_is_heard_of_after_it() -> None:
    pair = Pair()
    end = pair.connect()
    pair.network.cut("a", "b")
    pair.network.close(end)
    pair.advance(1.0)
    assert pair.b.streams == []
    pair.network.mend("a", "b")
    pair.advance(1.0)
    assert pair.b.streams == [None]


def test_a_reset_ends_both_sides_and_what_is_abandoned_tells_nobody() -> None:
    pair = Pair()
    pair.connect()
    pair.network.reset("a", "b")
    pair.advance(0.1)
    assert (pair.a.streams, pair.b.streams) == ([None], [None])
    end = pair.connect()
    others = pair.network.abandon(pair.a)
    pair.advance(1.0)
    assert end.other in others
    assert not end.open
    assert pair.b.streams == [None]


@pytest.mark.parametrize("silent", [False, True])
def test_what_a_cut_kept_back_goes_with_the_kernel_of_its_sender_alone(silent: bool) -> None:
    pair = Pair()
    end = pair.connect()
    pair.network.cut("a", "b")
    pair.network.send(end, b"kept back")
    pair.network.abandon(pair.a, silent)
    pair.network.mend("a", "b")
    pair.advance(1.0)
    assert pair.b.streams == ([] if silent else [b"kept back"])
    assert end.held_bytes == 0


def test_loss_delays_a_stream_and_corruption_garbles_headers_alone() -> None:
    pair = Pair()
    end = pair.connect()
    pair.network.rates |= {"loss": 0.5, "corrupt": 0.5}
    pair.network.settle()
    for _ in range(100):
        pair.network.send(end, bytes(20))
    pair.advance(60.0)
    assert len(pair.b.streams) == 100
    changed = [data for data in pair.b.streams if data is not None and data != bytes(20)]
    assert 20 < len(changed) < 80
    assert all(data[5:] == bytes(15) for data in changed)
    assert pair.heap.now_s > START_S


@pytest.mark.parametrize(
    ("rate", "least", "most", "distinct"),
    [("loss", 60, 140, 1), ("duplicate", 260, 340, 1), ("corrupt", 200, 200, 50), ("reorder", 200, 200, 1)],
)
def test_datagrams_are_lost_doubled_and_changed_as_drawn(rate: str, least: int, most: int, distinct: int) -> None:
    pair = Pair()
    pair.network.rates[rate] = 0.5
    for _ in range(200):
        pair.network.datagram("a", ("a", 1), bytes(50), ("b", 1))
    pair.advance(10.0)
    assert least <= len(pair.b.packets) <= most
    assert len(set(pair.b.packets)) >= distinct
    pair.network.datagram("a", ("a", 1), b"to nobody", ("c", 1))


def test_extra_delay_counts_for_both_ends() -> None:
    pair: Any = Pair()
    pair.network.extra_s = {"a": 1.0, "b": 2.0}
    pair.network.settle()
    pair.network.datagram("a", ("a", 1), b"late", ("b", 1))
    pair.advance(2.9)
    assert pair.b.packets == []
    pair.advance(0.5)
    assert pair.b.packets == [b"late"]


def test_a_stream_that_ends_before_it_is_established_is_none() -> None:
    pair = Pair()
    pair.network.extra_s = {"a": 1.0}
    pair.network.settle()
    made = pair.dial()
    while not pair.b.ends:
        pair.advance(0.01)
    pair.network.extra_s = {}
    pair.network.settle()
    pair.network.close(pair.b.ends[0])
    pair.advance(2.0)
    assert made == [None]
    assert pair.a.streams == []
