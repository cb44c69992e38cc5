"""Minting: nothing is minted that cannot be kept and replicated."""

from dynacache.coordination.write_group import WriteGroup
from dynacache.errors import NotEnoughReplicas, OutOfMemory, TimedOut
from dynacache.events import Effects
from dynacache.placement.partitions import key_hash
from dynacache.types import Level, WriteCondition
from dynacache.versioning import packed
from dynacache.wire.messages import DELETE, DONE, ERROR, GET, SET
from tests.fake_cluster import FakeCluster

RAW = 1


def test_the_coordinators_copy_knows_its_base_and_the_others_do_not() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"value", Level.ALL])
    own, other = cluster.record("n1", b"key"), cluster.record("n2", b"key")
    assert own is not None
    assert other is not None
    assert (own[0], other[0]) == (packed.OWN_BASE, 0)
    assert own[1:] == other[1:]


def test_a_level_out_of_reach_mints_nothing() -> None:
    cluster = FakeCluster(3)
    for name in ("n2", "n3"):
        cluster.kill(name)
    for level in (Level.QUORUM, Level.STRICT_QUORUM, Level.ALL):
        reply = cluster.ask("n1", [SET, b"key", RAW, b"value", level])
        assert (reply[0], reply[2]) == (ERROR, NotEnoughReplicas.code)
    assert cluster.holders(b"key") == []


def test_a_full_node_refuses_definitely_and_keeps_what_it_has() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"old", Level.ALL])
    engine = cluster.nodes["n1"].engine
    engine.set_limit(engine.usage().total_bytes + 1_000)
    reply = cluster.ask("n1", [SET, b"key", RAW, b"x" * 500_000, Level.QUORUM])
    assert (reply[0], reply[2]) == (ERROR, OutOfMemory.code)
    assert cluster.ask("n2", [GET, b"key", Level.ALL])[3] == b"old"


def test_a_fallback_without_room_for_hints_refuses() -> None:
    cluster = FakeCluster(5)
    owners = cluster.owners(b"key")
    fallback = min(set(cluster.nodes) - set(owners))
    for owner in owners:
        for name in set(cluster.nodes) - {owner}:
            cluster.cut_link(owner, name)
    node = cluster.nodes[fallback]
    node.hints.total_bytes = node.config.hints.limit_bytes
    reply = cluster.ask(fallback, [SET, b"key", RAW, b"value", Level.ONE, 100], 0.2)
    assert reply[0] == ERROR
    assert node.hints.find(b"key") is None


def test_sequential_writes_at_one_node_keep_one_clock_entry() -> None:
    cluster = FakeCluster(3)
    for value in (b"1", b"2", b"3"):
        assert cluster.ask("n1", [SET, b"key", RAW, value, Level.QUORUM])[0] == DONE
    record = cluster.record("n2", b"key")
    assert record is not None
    assert record[3] == 1
    assert packed.live_dot(record)[1] == 3


def test_after_an_eviction_a_fresh_base_is_used() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"1", Level.ALL])
    node = cluster.nodes["n1"]
    node.engine.remove(cluster.partition(b"key"), b"key")
    cluster.ask("n1", [GET, b"key", Level.ALL])
    assert cluster.record("n1", b"key") is not None, "read repair brought it back"
    cluster.ask("n1", [SET, b"key", RAW, b"2", Level.ALL])
    record = cluster.record("n1", b"key")
    assert record is not None
    assert record[3] == 2, "the own actor that came back by merge is not resumed"


def test_a_write_after_a_delete_wins() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", RAW, b"1", Level.ALL])
    cluster.ask("n2", [DELETE, b"key", Level.ALL])
    cluster.ask("n3", [SET, b"key", RAW, b"2", Level.ALL])
    assert [cluster.ask(name, [GET, b"key", Level.ALL])[3] for name in cluster.nodes] == [b"2"] * 3


def test_a_condition_on_a_key_that_never_was_leaves_no_tombstone_when_it_expires() -> None:
    cluster = FakeCluster(3)
    only_if_absent = [SET, b"key", RAW, b"1", Level.ALL, 500, 1_000, 0, WriteCondition.IF_ABSENT, None]
    assert cluster.ask("n1", [*only_if_absent])[:3:2] == [DONE, True]
    held = cluster.record("n1", b"key")
    assert held is not None
    assert not held[2] & packed.MAY_BE_OUTLIVED
    for node in cluster.nodes.values():
        node.engine.set_limit(1)
        node.engine.collect(cluster.instant("n1").wall_ms)
        node.engine.set_limit(1 << 30)
    assert cluster.record("n1", b"key") is None
    assert cluster.ask("n1", [*only_if_absent])[:3:2] == [DONE, True]
    held = cluster.record("n1", b"key")
    assert held is not None
    assert held[2] & packed.MAY_BE_OUTLIVED, "what was evicted here may live on elsewhere"


def test_what_is_given_up_ends_uncertain_also_what_this_turn_has_gathered() -> None:
    """A node whose clock had run ahead removes what it has minted: none of it may leave later or be acknowledged."""
    cluster = FakeCluster(3)
    cluster.run(1.0)
    cluster.paused.update(("n2", "n3"))
    assert cluster.ask("n1", [SET, b"begun", RAW, b"value", Level.ALL, 30_000, 0, 0, 0, None, b"id"], 0.0) is None
    writer, shared = cluster.nodes["n1"].writer, cluster.nodes["n1"].shared
    shared.effects = effects = Effects()
    partition = key_hash(b"gathered") >> shared.partition_shift
    route = shared.routes.route(partition)
    writer.set(1, 99, b"gathered", partition, route, RAW, b"value", Level.ALL, 30_000, 0, b"other")
    writer.give_up()
    ended = [message for sent in effects.sends.values() for message in sent if message[0] == ERROR]
    assert [message[2] for message in ended] == [TimedOut.code] * 2
    assert not TimedOut.definite
    assert not any(isinstance(each, WriteGroup) for each in shared.pending.values())
    assert len(writer.operations) == 0
    sends = len(effects.sends)
    writer.flush()
    assert len(effects.sends) == sends, "nothing is left to go out"
