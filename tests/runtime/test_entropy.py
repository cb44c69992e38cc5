"""Clocks that run and bytes that differ."""

import time

from dynacache.runtime.entropy import draw_incarnation, draw_nonce, draw_random, instant_now, monotonic_now
from dynacache.wire.handshake import NONCE_BYTES


def test_both_clocks() -> None:
    before, now, after = monotonic_now(), instant_now(), monotonic_now()
    assert before <= now.monotonic_s <= after
    assert abs(now.wall_ms - time.time() * 1000) < 1000


def test_nonces_differ() -> None:
    nonces = {draw_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {NONCE_BYTES}


def test_generators_differ() -> None:
    assert draw_random().random() != draw_random().random()


def test_incarnations_carry_the_time_and_differ() -> None:
    incarnations = {draw_incarnation() for _ in range(10)}
    assert len(incarnations) > 8
    for incarnation in incarnations:
        assert 0 < incarnation < 2**64
        assert abs((incarnation >> 16) - time.time() * 1000) < 1000
