"""A node's core that the bench drives: it serves, its clock is the bench's, and the collector is left as it was."""

import gc

from dynacache.cli.bench.core_node import START_MS, CoreNode, still
from dynacache.wire.messages import DONE, GET, MISS, SET, VALUE


def test_it_serves_at_once_and_time_passes_as_it_is_told() -> None:
    core = CoreNode.with_room_for(1_000)
    replies, wall_ms, cpu_ms = core.turn([SET, 1, b"k", 0, b"\xc0", 1, 0, 5_000], [GET, 2, b"k", 1])
    assert {reply[0] for reply in replies} >= {DONE, VALUE}
    assert 0 < cpu_ms < 1_000
    assert wall_ms > 0
    before_s = core.now_s
    core.pass_time()
    assert before_s < core.now_s <= before_s + 1
    core.now_s += 5
    assert core.now_ms == START_MS + int(core.now_s * 1000)
    assert core.turn([GET, 3, b"k", 1])[0][-1][0] == MISS


def test_the_collector_is_still_and_then_as_it_was() -> None:
    before = gc.isenabled(), gc.get_freeze_count()
    with still():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert (gc.isenabled(), gc.get_freeze_count()) == before
