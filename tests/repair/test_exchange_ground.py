"""What asking and answering share: marks, digests of any node, records taken in."""

import pytest
from pyroaring import BitMap

from dynacache.errors import InvalidRequest, OutOfMemory
from dynacache.repair.exchange_ground import ExchangeGround, size_of
from dynacache.repair.exchange_nodes import TOP
from tests.repair.exchange_world import Owner, World


def _ground(world: World, name: str) -> ExchangeGround:
    return world.owners[name].exchange.ground


def _other(owner: Owner, key: bytes, value: bytes) -> bytes:
    """Return a record of a key that someone else wrote without knowing ours."""
    partition = owner.partition(key)
    local = owner.engine.peek(partition, key)
    if local is not None:
        owner.engine.remove(partition, key)
    sent = owner.make(key, value)
    owner.engine.remove(partition, key)
    if local is not None:
        owner.engine.put(partition, key, local)
    return sent


def test_peers_are_all_who_share_a_partition() -> None:
    world = World(("a", "b", "c", "d"))
    ground = _ground(world, "a")
    assert sorted(ground.peers) == ["b", "c", "d"]
    placement = world.owners["a"].placement
    for name, view in ground.peers.items():
        assert view.shared == placement.owned_by("a") & placement.owned_by(name)
    assert ground.owned == placement.owned_by("a")


def test_a_write_is_marked_toward_those_who_own_it() -> None:
    world = World(("a", "b", "c", "d"))
    ground = _ground(world, "a")
    for view in ground.peers.values():
        view.dirty.clear()
    partition = ground.owned[0]
    key = next(b"%d" % i for i in range(9999) if world.owners["a"].partition(b"%d" % i) == partition)
    world.owners["a"].make(key, b"value")
    ground.absorb()
    owners = world.owners["a"].placement.write_owners(partition)
    assert {name for name, view in ground.peers.items() if view.dirty} == set(owners) - {"a"}


def test_the_digest_of_any_node_is_the_sum_of_those_below() -> None:
    world = World()
    for index in range(300):
        world.owners["a"].make(b"key%d" % index, b"value")
    ground = _ground(world, "a")
    comparable = BitMap(range(16)) - BitMap([3])
    nodes = [TOP, 2, 3, ground.forest.node(2, 0, 0), *(ground.forest.node(2, 3, leaf) for leaf in range(8))]
    digests = ground.digests(nodes, comparable)
    assert digests[0] == digests[1] ^ digests[2]
    leaves = 0
    for digest in digests[4:]:
        leaves ^= digest
    assert digests[3] == leaves == ground.engine.roots[2]
    everything = 0
    for partition in comparable:
        everything ^= ground.engine.roots[partition]
    assert digests[0] == everything
    assert ground.counters.nodes_compared == len(nodes)


def test_a_record_is_taken_and_nothing_given_back() -> None:
    world = World()
    a, b = world.owners["a"], world.owners["b"]
    record = a.make(b"key", b"value")
    assert b.exchange.ground.take(b"key", record) == (b.partition(b"key"), b"key", None)
    assert b.held(b"key") == record
    assert b.exchange.ground.take(b"key", record)[2] is None


def test_what_became_a_third_version_is_given_back() -> None:
    world = World()
    a, b = world.owners["a"], world.owners["b"]
    b.make(b"key", b"of b")
    record = a.make(b"key", b"of a")
    back = b.exchange.ground.take(b"key", record)[2]
    assert back is not None
    assert back == b.held(b"key")
    assert back != record
    assert a.exchange.ground.take(b"key", back)[2] is None
    assert b.exchange.ground.counters.conflicts_merged == 1


def test_what_is_older_is_answered_by_what_we_have() -> None:
    world = World()
    a, b = world.owners["a"], world.owners["b"]
    old = a.make(b"key", b"old")
    b.merge(b"key", a.make(b"key", b"new"))
    assert b.exchange.ground.take(b"key", old)[2] == b.held(b"key")
    assert b.exchange.ground.counters.conflicts_merged == 0


def test_what_was_superseded_here_is_not_taken() -> None:
    world = World()
    a, b = world.owners["a"], world.owners["b"]
    record = a.make(b"key", b"old")
    fingerprint = b.engine.fingerprint(b.partition(b"key"), b"key")
    world.now_s += 1
    b.engine.witness_many(b.partition(b"key"), [(fingerprint, 4, b.hybrid, 0, False)])
    assert b.exchange.ground.take(b"key", record)[2] is None
    assert b.held(b"key") is None
    assert b.exchange.ground.counters.superseded == 1


@pytest.mark.parametrize(
    ("key", "record"), [(b"", b"x"), ("key", b"x"), (b"k" * 1025, b"x"), (b"key", b"x"), (b"key", 1)]
)
def test_malformed_records_are_refused(key: object, record: object) -> None:
    world = World()
    with pytest.raises(InvalidRequest):
        _ground(world, "a").take(key, record)


def test_a_record_of_another_owners_partition_is_refused() -> None:
    world = World(("a", "b", "c", "d"))
    ground = _ground(world, "a")
    key = next(b"%d" % i for i in range(9999) if world.owners["a"].partition(b"%d" % i) not in ground.owned)
    with pytest.raises(InvalidRequest, match="no owner"):
        ground.take(key, world.owners["b"].make(key, b"value"))


def test_a_refused_record_changes_nothing() -> None:
    world = World()
    record = world.owners["a"].make(b"key", None)
    owner = world.owners["b"]
    owner.engine.set_limit(1)
    with pytest.raises(OutOfMemory):
        owner.exchange.ground.take(b"key", record)
    assert owner.held(b"key") is None


def test_partitions_to_visit_first_leave_the_list_when_no_peer_may_differ() -> None:
    world = World(("a", "b", "c"))
    ground = _ground(world, "a")
    ground.engine.dirty |= BitMap([2, 3])
    ground.peers["b"].dirty.clear()
    ground.visited(BitMap([2, 3]))
    assert ground.engine.dirty == BitMap([2, 3])
    ground.peers["c"].clear([ground.forest.node(2, 0, 0)], BitMap([2]), asked=False)
    ground.visited(BitMap([2, 3]))
    assert ground.engine.dirty == BitMap([3])


def test_sizes_are_about_right() -> None:
    assert size_of(b"x" * 1000) == 1003
    assert size_of((1, [b"ab", "cd"], None)) < 30
