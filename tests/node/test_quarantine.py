"""A node with a wrong clock serves nobody, stays a member, and comes back clean."""

from typing import Any

import pytest

from dynacache.errors import ClockUnsafe
from dynacache.node.quarantine import is_dated_after
from dynacache.types import Level
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.wire.messages import DELETE, DONE, ERROR, GET, MISS, SET, VALUE
from tests.fake_cluster import FakeCluster

RAW = 1
HOUR_MS = 3_600_000


def _notes(cluster: FakeCluster, name: str) -> list[str]:
    return [note.event for node, note in cluster.notes if node == name and note.event.startswith("clock.")]


@pytest.mark.parametrize("offset_ms", [HOUR_MS, -HOUR_MS, 2_000])
def test_a_node_whose_clock_jumps_serves_nothing_until_it_is_right(offset_ms: int) -> None:
    cluster = FakeCluster(3)
    cluster.run(1.5)
    cluster.wall_offset_ms["n3"] = offset_ms
    cluster.run(0.6)
    for message in ([SET, b"key", RAW, b"value", Level.ONE], [GET, b"key", Level.ONE], [DELETE, b"key"]):
        reply = cluster.ask("n3", message)
        assert (reply[0], reply[2]) == (ERROR, ClockUnsafe.code)
    assert ClockUnsafe.definite
    assert cluster.ask("n1", [SET, b"key", RAW, b"value", Level.QUORUM])[0] == DONE
    assert cluster.ask("n2", [GET, b"key", Level.STRICT_QUORUM])[3] == b"value"
    assert cluster.record("n3", b"key") is None, "it acknowledges nothing"
    assert cluster.ask("n1", [GET, b"key", Level.ALL, 300], 0.5)[0] == ERROR
    cluster.run(20.0)
    states = {row["node"]: row["state"] for row in cluster.nodes["n1"].reports.status()["members"]}
    assert states["n3"] == "alive", "it stays in gossip"
    cluster.wall_offset_ms["n3"] = 0
    cluster.run(2.0)
    assert cluster.ask("n3", [GET, b"key", Level.QUORUM])[3] == b"value"
    assert "clock.unsafe" in _notes(cluster, "n3")
    assert not cluster.nodes["n3"].engine.warming, "the jump was caught before it had dated anything"


def test_a_jump_is_caught_in_the_turn_that_first_sees_it() -> None:
    cluster = FakeCluster(3)
    cluster.run(1.5)
    cluster.ask("n3", [SET, b"key", RAW, b"value", Level.ALL, 0, 60_000])
    before = cluster.nodes["n3"].shared.clock.last
    cluster.wall_offset_ms["n3"] = HOUR_MS
    assert cluster.ask("n3", [SET, b"key", RAW, b"later", Level.ONE], 0.0)[2] == ClockUnsafe.code
    assert cluster.ask("n3", [GET, b"key", Level.ONE], 0.0)[2] == ClockUnsafe.code
    cluster.run(5.0)
    assert cluster.nodes["n3"].shared.clock.last >> 16 <= (before >> 16) + 6_000
    assert cluster.record("n3", b"key") is not None, "nothing expired by the wrong clock"


def test_a_jump_that_one_peer_contradicts_while_the_other_is_silent_dates_nothing() -> None:
    cluster = FakeCluster(3)
    cluster.run(1.5)
    cluster.paused.add("n2")
    cluster.wall_offset_ms["n3"] = HOUR_MS
    cluster.run(1.5)
    assert cluster.ask("n3", [SET, b"key", RAW, b"value", Level.ONE])[2] == ClockUnsafe.code
    cluster.wall_offset_ms["n3"] = 0
    cluster.paused.clear()
    cluster.run(2.0)
    node = cluster.nodes["n3"]
    assert node.shared.clock.last >> 16 <= cluster.instant("n3").wall_ms + 1
    assert cluster.ask("n3", [SET, b"key", RAW, b"value", Level.ALL])[0] == DONE, "others take what it writes"
    assert not node.engine.warming


@pytest.mark.parametrize("back_ms", [2_000, HOUR_MS])
def test_a_clock_set_back_while_nobody_answers_lets_nothing_live_longer(back_ms: int) -> None:
    cluster = FakeCluster(3)
    cluster.run(1.5)
    assert cluster.ask("n3", [SET, b"key", RAW, b"value", Level.ALL, 0, 5_000])[0] == DONE
    cluster.paused.update(("n1", "n2"))
    cluster.run(1.0)
    cluster.wall_offset_ms["n3"] = -back_ms
    cluster.run(2.5)
    node = cluster.nodes["n3"]
    assert node.shared.clock_safe
    assert cluster.ask("n3", [GET, b"key", Level.ONE], 0.0)[3] == b"value"
    cluster.run(2.0)
    reply = cluster.ask("n3", [GET, b"key", Level.ONE, 300], 0.5)
    assert reply is None or reply[0] != VALUE, "its five seconds are over"
    lead_ms = node.quarantine.watch.lead_ms
    assert back_ms - 5 <= lead_ms <= back_ms + 5
    cluster.wall_offset_ms["n3"] = 0
    cluster.run(1.5)
    assert node.quarantine.watch.lead_ms <= 5, "the clock was set right again"
    cluster.wall_offset_ms["n3"] = -back_ms
    cluster.run(1.5)
    cluster.paused.clear()
    cluster.run(3.0)
    assert node.quarantine.watch.lead_ms == 0.0, "peers have answered"
    assert not node.shared.clock_safe, "and contradicted"


def test_a_clock_that_jumped_ahead_and_back_while_nobody_answered_is_found_out() -> None:
    """Seed 3057: what it wrote meanwhile was dated in the future, lived longer, and won over what came after it."""
    cluster = FakeCluster(3)
    cluster.run(1.5)
    assert cluster.ask("n3", [SET, b"kept", RAW, b"value", Level.ALL])[0] == DONE
    cluster.paused.update(("n1", "n2"))
    cluster.run(1.0)
    cluster.wall_offset_ms["n3"] = 46_000
    cluster.run(2.0)
    assert cluster.ask("n3", [SET, b"key", RAW, b"dated", Level.ONE, 0, 15_000], 0.0)[0] == DONE
    tried: list[Any] = [SET, b"tried", RAW, b"dated", Level.QUORUM, 30_000, 0, 0, 0, None, b"operation"]
    assert cluster.ask("n3", [*tried], 0.5) is None
    cluster.wall_offset_ms["n3"] = 0
    cluster.run(2.0)
    node = cluster.nodes["n3"]
    assert node.shared.clock.last >> 16 > cluster.instant("n3").wall_ms + 40_000
    cluster.paused.clear()
    cluster.run(12.0)
    assert node.shared.clock.last >> 16 <= cluster.instant("n3").wall_ms + 1
    assert cluster.record("n3", b"key") is None
    assert cluster.record("n3", b"kept") is not None
    assert node.shared.clock_safe
    assert not node.engine.warming, "it was filled anew"
    assert cluster.ask("n3", [SET, b"key", RAW, b"later", Level.ALL])[0] == DONE, "others take what it writes"
    assert cluster.record("n1", b"tried") is None, "it was given up before the clock was right again (seed 904)"
    assert cluster.ask("n3", [*tried])[0] == DONE
    assert cluster.record("n1", b"tried") is not None, "a retry is done anew"


def test_after_a_suspension_time_goes_on_where_the_others_are() -> None:
    cluster = FakeCluster(3)
    cluster.run(1.5)
    assert cluster.ask("n3", [SET, b"key", RAW, b"value", Level.ALL, 0, 15_000])[0] == DONE
    cluster.paused.update(("n1", "n2"))
    cluster.run(1.0)
    cluster.wall_offset_ms["n3"] = 46_000
    cluster.run(2.0)
    cluster.wall_offset_ms.update(n1=46_000, n2=46_000)
    cluster.paused.clear()
    cluster.run(3.0)
    node = cluster.nodes["n3"]
    assert node.shared.clock_safe
    assert not node.quarantine.watch.doubtful
    assert not node.engine.warming
    assert node.quarantine.times == 0


def test_clocks_that_jump_together_stop_nobody_for_long() -> None:
    cluster = FakeCluster(3)
    cluster.run(1.5)
    for offset_ms in (HOUR_MS, -HOUR_MS):
        cluster.wall_offset_ms = dict.fromkeys(cluster.nodes, offset_ms)
        cluster.run(0.7)
        assert cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])[0] == DONE
        assert cluster.ask("n2", [GET, b"key", Level.ALL])[3] == b"value"
    assert not any(node.engine.warming for node in cluster.nodes.values())
    assert not any("clock.unsafe" in _notes(cluster, name) for name in cluster.nodes)


def test_one_wrong_peer_is_only_noted() -> None:
    cluster = FakeCluster(3)
    cluster.wall_offset_ms["n3"] = 5_000
    cluster.run(5.0)
    assert _notes(cluster, "n1") == _notes(cluster, "n2") == ["clock.peer_skewed"]
    report = cluster.nodes["n1"].quarantine.report()
    assert report["peers_skewed"] == ["n3"]
    assert report["trust"] == "safe"


def _ran_ahead() -> FakeCluster:
    """A cluster in which n3's clock ran ahead unnoticed, wrote, let expire, and is right again but not yet clean."""
    cluster = FakeCluster(3)
    cluster.run(1.5)
    assert cluster.ask("n1", [SET, b"lives", RAW, b"value", Level.ALL, 0, 60_000])[0] == DONE
    assert cluster.ask("n1", [SET, b"stays", RAW, b"value", Level.ALL])[0] == DONE
    for name in ("n1", "n2"):
        cluster.cut_link("n3", name)
    cluster.wall_offset_ms["n3"] = HOUR_MS
    cluster.run(2.0)
    assert cluster.ask("n3", [SET, b"future", RAW, b"value", Level.ONE, 100])[0] == DONE, "nobody told it"
    assert cluster.ask("n3", [SET, b"stays", RAW, b"future", Level.ONE, 100])[0] == DONE
    assert cluster.ask("n3", [GET, b"lives", Level.ONE, 100])[0] == MISS, "expired for it"
    cluster.heal()
    cluster.run(3.0)
    assert cluster.ask("n3", [GET, b"stays"])[2] == ClockUnsafe.code
    return cluster


def test_a_clock_that_had_run_ahead_leaves_no_traces() -> None:
    cluster = _ran_ahead()
    cluster.wall_offset_ms["n3"] = 0
    cluster.run(0.7)
    node = cluster.nodes["n3"]
    assert node.shared.clock_safe
    cluster.run(10.0)
    assert node.shared.clock.last >> 16 <= cluster.instant("n3").wall_ms + 1
    for name in cluster.nodes:
        assert cluster.ask(name, [GET, b"lives", Level.ALL])[3] == b"value"
        assert cluster.ask(name, [GET, b"stays", Level.ALL])[3] == b"value"
        assert cluster.ask(name, [GET, b"future", Level.ALL])[0] == MISS
    assert cluster.ask("n3", [SET, b"stays", RAW, b"now", Level.ALL])[0] == DONE, "others take what it writes"


def test_a_node_that_had_run_ahead_comes_back_warming() -> None:
    cluster = _ran_ahead()
    cluster.wall_offset_ms["n3"] = 0
    warming = 0
    for _ in range(2_000):
        cluster.run(0.001)
        warming = max(warming, len(cluster.nodes["n3"].engine.warming))
    assert warming == 1024
    cluster.run(10.0)
    assert not cluster.nodes["n3"].engine.warming


def test_a_pair_that_disagrees_stops_both() -> None:
    cluster = FakeCluster(2)
    cluster.wall_offset_ms["n2"] = 5_000
    cluster.run(4.0)
    replies = [cluster.ask(name, [GET, b"key"]) for name in cluster.nodes]
    assert [reply[2] for reply in replies] == [ClockUnsafe.code] * 2
    cluster.wall_offset_ms["n2"] = 0
    cluster.run(3.0)
    assert all(cluster.ask(name, [GET, b"key"])[0] == MISS for name in cluster.nodes)


def test_a_request_forwarded_to_a_node_in_quarantine_is_served_by_another() -> None:
    cluster = FakeCluster(5)
    cluster.run(1.5)
    owners = cluster.owners(b"key")
    outside = next(name for name in cluster.nodes if name not in owners)
    cluster.wall_offset_ms[owners[0]] = HOUR_MS
    cluster.run(0.7)
    assert cluster.ask(outside, [SET, b"key", RAW, b"value", Level.QUORUM])[0] == DONE
    assert cluster.ask(outside, [GET, b"key", Level.QUORUM])[0] == VALUE


def test_what_counts_as_dated_later() -> None:
    issuer = ActorIssuer(1)
    early = packed.write(None, issuer, 1_000 << 16, 0, 0, b"v", 1_000)[1]
    late = packed.write(None, issuer, 9_000 << 16, 0, 0, b"v", 9_000)[1]
    deleted = packed.delete(None, issuer, 9_000 << 16, 9_000)[1]
    assert [is_dated_after(record, 5_000) for record in (early, late, deleted)] == [False, True, True]
    both = packed.merge(early, late)
    assert both[1] == packed.MANY
    assert is_dated_after(both, 5_000)
    assert not is_dated_after(both, 9_000)
    outlived = packed.write(None, issuer, 1_000 << 16, 8_000, 0, b"v", 1_000, None, True)[1]
    expired = packed.clean(outlived, 8_500)
    assert expired is not None
    assert is_dated_after(expired, 5_000), "an expiry found too early"
    assert not is_dated_after(outlived, 5_000)
