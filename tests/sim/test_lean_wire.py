"""The lean wire: requests are answered by real nodes, delays are kept, and every part of an operation is metered."""

import itertools

import pytest

from dynacache.types import Level
from dynacache.wire.messages import DONE, GET, PAYLOAD_RAW, SET, VALUE
from sim.lean_wire import LeanWire


def test_a_write_is_read_through_another_node() -> None:
    wire = LeanWire(3)
    rids = wire.ask("n1", [[SET, b"key", PAYLOAD_RAW, b"value", int(Level.ALL)]])
    wire.run_until_replied(rids)
    assert wire.replies[rids[0]][0] == DONE
    rids = wire.ask("n2", [[GET, b"key", int(Level.ONE)]])
    wire.run_until_replied(rids)
    assert wire.replies[rids[0]][:1] == [VALUE]
    assert wire.replies[rids[0]][3] == b"value"


def test_delays_are_kept() -> None:
    wire = LeanWire(3, delay=lambda _, __: 0.01)
    began_s = wire.now_s
    rids = wire.ask("n1", [[SET, b"key", PAYLOAD_RAW, b"value", int(Level.ALL)]])
    wire.run_until_replied(rids)
    assert wire.replied_at_s[rids[0]] - began_s == pytest.approx(0.02)


def test_parts_and_bytes_are_metered() -> None:
    ticks = itertools.count()
    wire = LeanWire(3, clock=lambda: float(next(ticks)))
    rids = wire.ask("n1", [[SET, b"key", PAYLOAD_RAW, bytes(1_000), int(Level.QUORUM)]])
    wire.run_until_replied(rids)
    wire.run(0.0)
    meter = wire.meter
    assert (meter.turns["coordinate"], meter.turns["replica"], meter.turns["complete"]) == (1, 2, 2)
    assert meter.seconds["replica"] == 2.0
    assert meter.messages["coordinator to replica"] == meter.messages["replica to coordinator"] == 2
    assert meter.sent_bytes["coordinator to replica"] > 2_000
    assert meter.sent_bytes["client to node"] > 1_000
    assert meter.sent_bytes["node to client"] < 50


def test_a_request_that_nobody_answers_is_an_error() -> None:
    wire = LeanWire(3)
    with pytest.raises(TimeoutError, match="1 of 1 requests"):
        wire.run_until_replied([12345], 0.1)
