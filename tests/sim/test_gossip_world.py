"""The lean world: the same seed gives the same world; what is blocked waits, what is crashed is silent, bytes count."""

import attrs
import pytest

from dynacache.config.membership import MembershipConfig
from dynacache.membership.state import Claim, NodeState
from sim.gossip_world import GossipNode, GossipWorld, Traffic, Weather, node_id

SEEDS = [("10.0.0.0", 7400)]


def settled(count: int, seed: int = 1, **weather: float) -> GossipWorld:
    """A world of nodes that have known each other for long."""
    world = GossipWorld(seed, weather=Weather(**weather))  # type: ignore[arg-type]
    world.found(count)
    return world


def joined(count: int, seed: int = 1) -> GossipWorld:
    """A world of nodes that all found each other through the first."""
    world = GossipWorld(seed)
    for _ in range(count):
        world.start(SEEDS)
    assert world.run_until(lambda: all(node.live_view == count for node in world.nodes), 20.0) < 20.0
    return world


def test_nodes_join_through_one_seed() -> None:
    world = joined(8)
    assert [len(node.swim.members()) for node in world.nodes] == [8] * 8
    assert world.traffic.exchanges > 0
    assert world.traffic.exchange_bytes > 0


@pytest.mark.parametrize("count", [5, 30])
def test_a_settled_world_sends_a_ping_and_an_answer_a_second(count: int) -> None:
    world = settled(count)
    assert world.rumours() == 0
    world.run(2.0)
    before = attrs.evolve(world.traffic)
    world.run(20.0)
    sent = world.traffic.since(before)
    assert sent.datagrams / count / 20.0 == pytest.approx(2.0, abs=0.1)
    assert sent.streams == 0


def test_a_settled_world_holds_everybody_alive() -> None:
    world = settled(12)
    assert all(node.live_view == 12 for node in world.nodes)
    world.run(60.0)
    assert {member.state for node in world.nodes for member in node.swim.members()} == {NodeState.ALIVE}


def test_rumours_are_counted_apart_from_probes() -> None:
    world = settled(12)
    world.run(5.0)
    calm = world.counted()
    assert (calm.gossip, calm.rumour_bytes) == (0, 0)
    world.crash(world.nodes[7])
    world.run(10.0)
    later = world.counted().since(calm)
    assert 0 < later.gossip < later.datagrams
    assert 0 < later.rumour_bytes < later.datagram_bytes


def test_the_same_seed_is_the_same_world() -> None:
    def traffic(seed: int) -> Traffic:
        world = joined(10, seed)
        world.weather = Weather(loss=0.1)
        world.block(world.nodes[4], 3.0)
        world.run(20.0)
        return world.traffic

    assert traffic(3) == traffic(3)
    assert traffic(3) != traffic(4)


def test_a_crashed_node_is_silent_and_found_dead() -> None:
    world = settled(10)
    world.crash(world.nodes[7])
    world.run(30.0)
    assert len(world.running()) == 9
    assert all(node.live_view == 9 for node in world.running())
    held = world.nodes[0].swim.member(node_id(7))
    assert held is not None
    assert held.state is NodeState.DEAD


def test_a_blocked_node_handles_what_waited_when_it_comes_to() -> None:
    world = settled(10)
    world.run(1.0)
    node = world.nodes[2]
    received = node.swim.statistics().counters.datagrams_received
    world.block(node, 2.0)
    world.run(1.9)
    waiting = len(node.inbox)
    assert waiting > 0
    assert node.swim.statistics().counters.datagrams_received == received
    world.run(0.2)
    assert node.inbox == []
    assert node.swim.statistics().counters.datagrams_received >= received + waiting
    world.run(20.0)
    assert all(each.live_view == 10 for each in world.nodes)


def test_a_full_socket_loses_datagrams() -> None:
    world = settled(10, socket_limit=2)
    world.block(world.nodes[2], 5.0)
    world.run(4.9)
    assert len(world.nodes[2].inbox) <= 2 + world.traffic.streams
    assert world.lost_in_sockets > 0


def test_loss_loses() -> None:
    world = settled(6, loss=1.0)
    world.run(5.0)
    assert sum(node.swim.statistics().counters.datagrams_received for node in world.nodes) == 0


def one_deaf_view(world: GossipWorld) -> tuple[GossipNode, GossipNode]:
    """Have a viewer alone suspect a node that all others know to have contradicted; return the viewer and the node."""
    viewer, subject = world.nodes[5], world.nodes[9]
    suspected = subject.swim.own.in_state(NodeState.SUSPECT)
    refuted = attrs.evolve(subject.swim.own, incarnation=1)
    for node in world.nodes:
        held = suspected if node is viewer else refuted
        sources = ["node-0001", "node-0002", "node-0003"] if node is viewer else [subject.swim.own.node_id]
        if node is subject:
            node.swim._evidence.raise_own()
        for source in () if node is subject else sources:
            node.swim._evidence.take(Claim(held, source), None)
        node.swim._outbox.drain()
        node.swim._outbox.rumours.discard(subject.swim.own.node_id)
    return viewer, subject


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_view_that_missed_a_refutation_does_not_bury_the_node(seed: int, is_blocked: bool) -> None:
    world = settled(60, seed)
    viewer, subject = one_deaf_view(world)
    buried: list[GossipNode] = []
    world.watchers.append(lambda node, member, _: buried.append(node) if member.state is NodeState.DEAD else None)
    world.run(5.9)
    if is_blocked:  # over the last call, so that only others can tell
        world.block(subject, 1.25)
    world.run(6.1)
    assert buried == []
    held = viewer.swim.member(subject.swim.own.node_id)
    assert held is not None
    assert held.state is NodeState.ALIVE


def test_a_view_that_buried_a_living_node_is_set_right_at_the_next_reminder() -> None:
    world = GossipWorld(1, MembershipConfig(push_pull_interval_s=1e6))
    world.found(60)
    viewer, subject = one_deaf_view(world)
    accused = attrs.evolve(subject.swim.own, incarnation=1, state=NodeState.DEAD)
    viewer.swim._evidence.take(Claim(accused, "node-0001"), None)
    viewer.swim._outbox.drain()
    viewer.swim._outbox.rumours.discard(subject.swim.own.node_id)  # nobody hears of it who could object
    assert not viewer.swim.is_alive(subject.swim.own.node_id)
    world.run(11.5)
    assert viewer.swim.is_alive(subject.swim.own.node_id)
    assert viewer.swim.statistics().counters.reminders == 1


def test_a_burial_that_is_told_around_is_objected_to_at_once() -> None:
    world = settled(60)
    viewer, subject = one_deaf_view(world)
    stale = attrs.evolve(subject.swim.own, incarnation=0, state=NodeState.DEAD)
    viewer.swim._evidence.take(Claim(stale, "node-0005"), None)
    assert not viewer.swim.is_alive(subject.swim.own.node_id)
    world.run(1.5)
    assert viewer.swim.is_alive(subject.swim.own.node_id)
