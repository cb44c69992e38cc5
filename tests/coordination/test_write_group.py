"""Groups of writes: acknowledged at the level, stood in for, hinted, refused by position."""

import attrs
import pytest

from dynacache.config import Config, HintConfig
from dynacache.coordination.write_group import BULK_BYTES
from dynacache.errors import NotEnoughReplicas, TimedOut
from dynacache.placement.table import MemberState
from dynacache.types import Level
from dynacache.wire.messages import DONE, ERROR, GET, SET, VALUE, WRITE, WRITE_ACK
from tests.fake_cluster import FakeCluster

RAW = 1


def _set(key: bytes, value: bytes, level: int = Level.QUORUM, timeout_ms: int = 1_000) -> list[object]:
    return [SET, key, RAW, value, level, timeout_ms]


def _split(cluster: FakeCluster, key: bytes) -> tuple[list[str], list[str]]:
    owners = cluster.owners(key)
    return owners, sorted(set(cluster.nodes) - set(owners))


def test_a_write_reaches_all_owners_and_nobody_else() -> None:
    cluster = FakeCluster(5)
    owners, others = _split(cluster, b"key")
    assert cluster.ask(owners[0], _set(b"key", b"value"))[0] == DONE
    assert cluster.holders(b"key") == sorted(owners)
    assert all(cluster.nodes[name].hints.counts() == {} for name in others)


@pytest.mark.parametrize(("level", "acknowledgements"), [(Level.ONE, 0), (Level.QUORUM, 1), (Level.ALL, 2)])
def test_the_reply_waits_for_exactly_the_level(level: int, acknowledgements: int) -> None:
    cluster = FakeCluster(3)
    cluster.paused = {"n2", "n3"}
    reply = cluster.ask("n1", _set(b"key", b"value", level, 300), 0.1)
    assert (reply is not None) == (acknowledgements == 0)
    cluster.paused = {"n3"} if acknowledgements == 1 else set()
    cluster.run(0.15)
    assert [each[0] for each in cluster.replies[max(cluster.replies)]] == [DONE]


def test_a_batch_is_one_message_to_each_owner_and_one_acknowledgement() -> None:
    cluster = FakeCluster(3)
    cluster.seen.clear()
    replies = cluster.ask_many("n1", [_set(b"key %d" % index, b"value") for index in range(50)])
    assert all(reply[0] == DONE for reply in replies)
    kinds = [content[0] for *_, content in cluster.seen]
    assert kinds.count(WRITE) == 2
    assert kinds.count(WRITE_ACK) == 2


def test_a_fallback_stands_in_for_an_owner_that_is_away_and_hands_the_write_over() -> None:
    cluster = FakeCluster(5)
    owners, others = _split(cluster, b"key")
    away = owners[1]
    cluster.kill(away)
    assert cluster.ask(owners[0], _set(b"key", b"value"))[0] == DONE
    holding = [name for name in others if cluster.nodes[name].hints.counts() == {away: 1}]
    assert len(holding) == 1, "exactly one fallback stands in for one owner"
    assert cluster.nodes[owners[0]].hints.counts() == {}, "the coordinator keeps no second hint"
    cluster.restart(away)
    cluster.run(8)
    assert away in cluster.holders(b"key")
    assert cluster.nodes[holding[0]].hints.counts() == {}


def test_two_owners_away_still_make_a_sloppy_quorum_but_no_strict_one() -> None:
    cluster = FakeCluster(5)
    owners, _ = _split(cluster, b"key")
    for name in owners[1:]:
        cluster.kill(name)
    assert cluster.ask(owners[0], _set(b"key", b"value", Level.QUORUM))[0] == DONE
    reply = cluster.ask(owners[0], _set(b"key", b"other", Level.STRICT_QUORUM))
    assert reply[0] == ERROR
    assert reply[2] == NotEnoughReplicas.code
    assert cluster.ask(owners[0], [GET, b"key", Level.ONE])[3] == b"value", "a definite refusal changes nothing"


def test_a_silent_owner_is_stood_in_for_after_the_replica_timeout() -> None:
    cluster = FakeCluster(5)
    owners, _ = _split(cluster, b"key")
    cluster.paused = set(owners[1:])
    reply = cluster.ask(owners[0], _set(b"key", b"value", Level.QUORUM, 2_000), 0.9)
    assert reply is not None
    assert reply[0] == DONE


def test_a_link_that_ends_is_stood_in_for_at_once() -> None:
    cluster = FakeCluster(5, delay_s=0.05)
    owners, _ = _split(cluster, b"key")
    cluster.ask(owners[0], _set(b"key", b"value"), 0.01)
    rid = max(cluster.replies, default=0)
    for name in owners[1:]:
        cluster.cut_link(owners[0], name)
    cluster.run(0.2)
    assert cluster.replies[max(cluster.replies)][0][0] == DONE
    assert max(cluster.replies) > rid


def test_a_level_not_reached_by_the_deadline_is_maybe_applied() -> None:
    cluster = FakeCluster(3)
    cluster.paused = {"n2", "n3"}
    reply = cluster.ask("n1", _set(b"key", b"value", Level.ALL, 200), 0.3)
    assert reply[0] == ERROR
    assert reply[2] == TimedOut.code
    assert TimedOut.definite is False
    assert cluster.holders(b"key") == ["n1"], "it is not rolled back"


def test_whoever_did_not_acknowledge_by_the_deadline_has_a_hint_at_the_coordinator() -> None:
    cluster = FakeCluster(3)
    cluster.paused = {"n3"}
    assert cluster.ask("n1", _set(b"key", b"value", Level.QUORUM, 200), 0.3)[0] == DONE
    assert cluster.nodes["n1"].hints.counts() == {"n3": 1}
    cluster.paused = set()
    cluster.run(10)
    assert cluster.holders(b"key") == ["n1", "n2", "n3"]
    assert cluster.nodes["n1"].hints.counts() == {}


def test_a_hint_is_as_old_as_its_write() -> None:
    """Made after a standstill, it would outlive what has deleted or invalidated its record (seed 50091)."""
    cluster = FakeCluster(3)
    cluster.paused = {"n3"}
    began_ms = cluster.nodes["n1"].shared.now_ms
    assert cluster.ask("n1", _set(b"key", b"value", Level.QUORUM, 200), 0.3)[0] == DONE
    hint = cluster.nodes["n1"].hints.get("n3", b"key")
    assert hint is not None
    assert cluster.nodes["n1"].shared.now_ms >= began_ms + 200
    assert hint.stored_ms < began_ms + 100


def test_a_replica_without_room_is_excepted_alone() -> None:
    cluster = FakeCluster(3)
    full = cluster.nodes["n3"].engine
    full.set_limit(full.usage().total_bytes + 20_000)
    small = _set(b"small", b"value", Level.ALL, 200)
    big = _set(b"big", b"x" * 100_000, Level.ALL, 200)
    replies = cluster.ask_many("n1", [small, big], 0.3)
    assert replies[0][0] == DONE
    assert (replies[1][0], replies[1][2]) == (ERROR, TimedOut.code)
    assert cluster.nodes["n1"].hints.counts() == {"n3": 1}, "only the refused key is hinted"
    assert cluster.holders(b"small") == ["n1", "n2", "n3"]


def test_large_values_travel_on_the_bulk_connection() -> None:
    cluster = FakeCluster(3)
    bulk = {cluster.nodes["n1"].links.by_node[name].bulk_connection for name in ("n2", "n3")}
    cluster.seen.clear()
    assert cluster.ask("n1", _set(b"key", b"x" * (BULK_BYTES + 1)))[0] == DONE
    assert {connection for *_, connection, content in cluster.seen if content[0] == WRITE} == bulk
    assert cluster.ask("n2", [GET, b"key", Level.ALL])[0] == VALUE


def test_what_a_stale_copy_takes_does_not_count_and_is_not_hinted() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.nodes["n3"].engine.stale.update(range(1024))
    assert cluster.ask("n1", _set(b"key", b"value"))[0] == DONE, "n1 and n2 make the quorum"
    assert cluster.holders(b"key") == ["n1", "n2", "n3"], "it is merged"
    cluster.nodes["n2"].engine.stale.update(range(1024))
    reply = cluster.ask("n1", _set(b"key", b"later", timeout_ms=200), 0.3)
    assert (reply[0], reply[2]) == (ERROR, TimedOut.code)
    assert cluster.nodes["n1"].hints.counts() == {}
    assert cluster.ask("n1", _set(b"key", b"one", Level.ONE))[0] == DONE


def test_a_batch_of_which_one_key_is_stale_elsewhere() -> None:
    cluster = FakeCluster(3, repair=False)
    for name in ("n2", "n3"):
        cluster.nodes[name].engine.stale.add(cluster.partition(b"stale"))
    replies = cluster.ask_many("n1", [_set(b"stale", b"v", timeout_ms=200), _set(b"whole", b"v", timeout_ms=200)], 0.3)
    assert (replies[0][0], replies[0][2]) == (ERROR, TimedOut.code)
    assert replies[1][0] == DONE


def test_a_stale_coordinator_does_not_count_itself() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.nodes["n1"].engine.stale.update(range(1024))
    assert cluster.ask("n1", _set(b"key", b"value"))[0] == DONE, "n2 and n3 make the quorum"
    cluster.cut_link("n1", "n3")
    reply = cluster.ask("n1", _set(b"key", b"later"))
    assert reply[2] == NotEnoughReplicas.code
    assert cluster.ask("n2", [GET, b"key", Level.ONE])[3] == b"value", "nothing was changed"


def test_a_copy_that_is_being_filled_counts() -> None:
    cluster = FakeCluster(3, repair=False)
    cluster.kill("n3")
    cluster.restart("n3")
    cluster.run(0.1)
    assert cluster.ask("n1", _set(b"key", b"value", Level.ALL))[0] == DONE


def test_a_node_that_refuses_for_its_clock_is_stood_in_for() -> None:
    cluster = FakeCluster(5)
    owners, _ = _split(cluster, b"key")
    for name in owners[1:]:
        cluster.nodes[name].shared.clock_safe = False
    assert cluster.ask(owners[0], _set(b"key", b"value", timeout_ms=300), 0.05)[0] == DONE


def test_a_write_under_which_the_owners_change_starts_again_with_the_present_ones() -> None:
    """Acknowledged under two member tables it might have a quorum in neither."""
    cluster = FakeCluster(4, repair=False)
    cluster.join("n5")
    cluster.run(0.2)
    keys = [b"key %d" % number for number in range(60)]
    coordinator = {key: cluster.owners(key)[0] for key in keys}
    mine = [key for key in keys if coordinator[key] == "n1"]
    cluster.set_state("n5", MemberState.JOINING, known_to=("n2", "n3", "n4", "n5"))
    assert not cluster.nodes["n1"].members.placement.in_transition
    replies = cluster.ask_many("n1", [_set(key, b"value", Level.ALL) for key in mine])
    assert {reply[0] for reply in replies} == {DONE}
    placement = cluster.nodes["n1"].members.placement
    gained = [key for key in mine if "n5" in placement.write_owners(cluster.partition(key))]
    assert gained, "some key has a new owner"
    for key in mine:
        assert sorted(cluster.holders(key)) == sorted(placement.write_owners(cluster.partition(key)))
    assert all(len(cluster.replies[rid]) == 1 for rid in cluster.replies), "each is answered once"


def test_while_owners_change_every_set_needs_its_quorum() -> None:
    cluster = FakeCluster(4, repair=False)
    cluster.join("n5")
    cluster.run(0.2)
    cluster.set_state("n5", MemberState.JOINING)
    placement = cluster.nodes["n1"].members.placement
    key = next(
        key for key in (b"key %d" % n for n in range(200)) if len(placement.write_sets(cluster.partition(key))) > 1
    )
    partition = cluster.partition(key)
    read, new = placement.owners(partition), placement.new(partition)
    both = [name for name in read if name in new]
    cluster.paused = {both[1], "n5"}
    reply = cluster.ask(both[0], _set(key, b"value", Level.STRICT_QUORUM, 300), 0.4)
    assert (reply[0], reply[2]) == (ERROR, TimedOut.code), "two of Read, but one of New"
    cluster.paused = {both[1]}
    cluster.run(2.0)
    assert cluster.ask(both[0], _set(key, b"other", Level.STRICT_QUORUM, 300), 0.4)[0] == DONE


def test_where_no_hint_has_room_the_partition_is_repaired_first() -> None:
    hints = HintConfig(target_limit_count=1)
    cluster = FakeCluster(5, attrs.evolve(Config(), hints=hints), repair=False)
    keys = [b"key %d" % number for number in range(200)]
    owners = cluster.owners(keys[0])
    same = [key for key in keys if sorted(cluster.owners(key)) == sorted(owners)][:4]
    assert len(same) == 4
    cluster.kill(owners[1])
    coordinator = cluster.nodes[owners[0]]
    for key in same:
        assert cluster.ask(owners[0], _set(key, b"value", timeout_ms=200), 0.4)[0] == DONE, "owners alone suffice"
    held = sum(sum(node.hints.counts().values()) for node in cluster.nodes.values())
    dirty = {cluster.partition(key) for key in same} & set(coordinator.engine.dirty)
    assert held + len(dirty) >= len(same), "what nobody keeps for the absent owner is visited first"
    assert dirty
    assert coordinator.counters.hints_refused >= len(dirty)
