"""The soak's load: sizes as promised, requests counted, pauses told."""

import itertools
import random
import socket
import threading
from typing import Any

import attrs
import pytest

from dynacache.cli.bench.soak_load import SIZES, Found, Load, Phase, _Lane, draw_size
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import DELETE, DONE, GET, MISS, SET


def answer_all(peer: socket.socket, seen: list[Any]) -> None:
    """A node that has nothing and takes everything."""
    reader = FrameReader()
    while data := peer.recv(65_536):
        messages = reader.feed(data)
        seen.extend(messages)
        replies = [(MISS, each[1], 0) if each[0] == GET else (DONE, each[1], True) for each in messages]
        if replies:
            peer.sendall(frame_of_messages(replies))


def carried_out(phase: Phase, lanes: int = 2) -> tuple[Found, list[Any]]:
    seen: list[Any] = []
    pairs = [socket.socketpair() for _ in range(lanes)]
    threads = [threading.Thread(target=answer_all, args=(pair[1], seen)) for pair in pairs]
    for thread in threads:
        thread.start()
    try:
        found = Load(phase, [_Lane(pair[0]) for pair in pairs]).run()
    finally:
        for pair in pairs:
            pair[0].close()
        for thread in threads:
            thread.join()
        for pair in pairs:
            pair[1].close()
    return found, seen


PHASE = Phase("127.0.0.1", 1, 0, key_count=100, seconds=0.2, depth=4)


def test_sizes_are_drawn_from_the_mixture() -> None:
    source = random.Random(1)
    sizes = [draw_size(source) for _ in range(20_000)]
    for share, least, largest in SIZES:
        part = sum(least <= size < largest for size in sizes) / len(sizes)
        assert part == pytest.approx(share, abs=0.02)
    assert 2_300 < sum(sizes) / len(sizes) < 2_900


def test_a_fill_writes_every_key_once() -> None:
    found, seen = carried_out(attrs.evolve(PHASE, fill=True, value_bytes=10))
    assert found.requests == 100
    assert sorted(str(message[2]) for message in seen) == [str(b"soak:%010d" % number) for number in range(100)]
    assert {message[0] for message in seen} == {SET}
    assert found.failures == found.misses == found.pauses == 0


@pytest.mark.parametrize("rate", [0.0, 500.0])
def test_a_mixture_is_sent_for_as_long_as_told(rate: float) -> None:
    found, seen = carried_out(attrs.evolve(PHASE, rate=rate, set_share=0.5, delete_share=0.25))
    kinds = [message[0] for message in seen]
    assert found.requests == len(seen)
    assert found.misses == kinds.count(GET)
    assert {SET, DELETE, GET} == set(kinds)
    assert found.seconds >= 0.19
    if rate:
        assert found.requests in (100, 101)
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.longest_ms >= found.p50_ms * (rate > 0)


def test_expiries_are_spread_over_their_stretch_of_time() -> None:
    phase = attrs.evolve(PHASE, fill=True, value_bytes=10, ends_at=4e9, ends_within_s=1_000.0)
    _, seen = carried_out(phase, lanes=1)
    lives = [message[7] for message in seen]
    assert all(isinstance(life, int) for life in lives)
    steps = [after - before for before, after in itertools.pairwise(lives)]
    assert sum(steps) == pytest.approx(990_000, abs=2_000)
