"""The only place where clocks are read and unpredictable bytes are drawn for a node.

What: the two clocks as one `Instant`, nonces for the hello, the seed of the node's `random.Random`, and the incarnation
of a process.

Invariant: two starts of the same node never have the same incarnation: it is the wall clock in milliseconds above 16
random bits, and grows from one start to the next as long as the clock does.

Why: every core takes time and randomness as arguments (DESIGN section 2), so whatever is not reproducible about a node
enters through this module and can be replaced in one place.
"""

import os
import random
import time

from dynacache.types import Instant
from dynacache.wire.handshake import NONCE_BYTES

__all__ = ["draw_incarnation", "draw_nonce", "draw_random", "instant_now", "monotonic_now", "wall_ms_now"]

monotonic_now = time.monotonic
"""Seconds that never go back."""


def wall_ms_now() -> int:
    """Milliseconds since 1970 on this machine's clock."""
    return time.time_ns() // 1_000_000


def instant_now() -> Instant:
    """Both clocks, read now."""
    return Instant(time.monotonic(), wall_ms_now())


def draw_nonce() -> bytes:
    """Unpredictable bytes for one hello."""
    return os.urandom(NONCE_BYTES)


def draw_random() -> random.Random:
    """The node's own generator, seeded from the operating system."""
    return random.Random(os.urandom(32))


def draw_incarnation() -> int:
    """An unsigned 64-bit number for this start of the process: 48 bits of wall milliseconds, 16 random bits."""
    return (wall_ms_now() & (1 << 48) - 1) << 16 | int.from_bytes(os.urandom(2), "big")
