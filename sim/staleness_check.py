"""The drawn staleness, held against real nodes: the same delays, the real code.

What: ``observe`` runs three real nodes on the lean wire with delays drawn from the latency, and counts how often a read
through a random owner, begun at the moment of a write's acknowledgement, returns the value before.

Invariant: each pair of write and read is alone in its virtual second, so nothing but the delays of its own messages
decides.

What differs from the drawing: a hedged read asks one more owner when an answer is late, so that slow answers make a
read of two see slightly more than drawn; and messages of one connection stay in order.
"""

from typing import Any

from dynacache.types import Level
from dynacache.wire.messages import GET, PAYLOAD_RAW, SET

from .draws import Draws
from .lean_wire import LeanWire
from .staleness import Latency

__all__ = ["observe"]

_NODES = 3
_LEVELS = {1: Level.ONE, 2: Level.QUORUM, 3: Level.ALL}


def observe(r: int, w: int, latency: Latency, *, seed: int = 1, trials: int = 400) -> float:
    """Return the share of stale reads of three nodes right after the acknowledgement; raises ValueError unless r and w
    lie from 1 to 3."""
    if r not in _LEVELS or w not in _LEVELS:
        raise ValueError(f"r and w: got {r} and {w}, expected 1 to {_NODES}")
    draws = Draws(seed)
    legs = draws.stream("legs")
    readers = draws.stream("readers")
    wire = LeanWire(_NODES, delay=lambda _, __: latency.draw_ms(legs) / 1000)
    writer, *_ = names = list(wire.nodes)
    stale = 0
    for number in range(trials):
        key = b"key %d" % (number % 16)
        _ask(wire, writer, [SET, key, PAYLOAD_RAW, b"before", int(Level.ALL)])
        wire.run(0.5)
        _ask(wire, writer, [SET, key, PAYLOAD_RAW, b"after", int(_LEVELS[w])])
        reply = _ask(wire, readers.choice(names), [GET, key, int(_LEVELS[r])])
        stale += reply[3] == b"before"
        wire.run(0.5)
    return stale / trials


def _ask(wire: LeanWire, name: str, message: list[Any]) -> Any:
    rids = wire.ask(name, [message])
    wire.run_until_replied(rids)
    return wire.replies.pop(rids[0])
