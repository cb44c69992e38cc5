"""Whole clusters under virtual time: joins, deaths, losses, slow nodes, splits, restarts, stops, and hostile bytes."""

import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynacache.config.membership import MembershipConfig
from dynacache.membership.effects import MemberChanged
from dynacache.membership.messages import Exchange, encode_claim, exchange_payload, read_stream
from dynacache.membership.state import Claim, Member, NodeState
from dynacache.membership.swim import Swim
from tests.membership.harness import Bench, Network, node_name

DOWN = (NodeState.SUSPECT, NodeState.DEAD)
SEEDS = range(6)


@pytest.mark.parametrize("size", [5, 20])
@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_joins_through_any_single_seed(size: int, seed: int) -> None:
    network = Network(seed)
    network.start(0)
    for number in range(1, size):
        network.start(number, [(seed * number) % number])
    network.run_until(network.all_alive, 5.0)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_a_killed_node_is_suspected_in_5_s_and_dead_in_30_s_in_every_view(size: int, seed: int, loss: float) -> None:
    network = Network(seed)
    names = network.cluster(size)
    network.loss = loss
    network.run(seed * 0.37)
    network.kill(names[1])
    began_s = network.now_s
    network.run_until(lambda: all(state in DOWN for state in network.states_of(names[1])), 5.0)
    network.run_until(lambda: set(network.states_of(names[1])) == {NodeState.DEAD}, began_s + 30.0 - network.now_s)
    assert {change.member.node_id for change in network.deaths()} == {names[1]}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_node_of_twenty_is_dead_in_time(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(20)
    network.kill(names[seed])
    network.run_until(lambda: set(network.states_of(names[seed])) == {NodeState.DEAD}, 30.0)


@pytest.mark.parametrize("size", [3, 5, 10])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_tenth_of_all_packets_lost_kills_nobody_in_3_minutes(size: int, seed: int) -> None:
    network = Network(seed)
    network.cluster(size)
    network.loss = 0.1
    network.run(180.0)
    assert network.deaths() == []
    network.loss = 0.0
    network.run_until(network.all_alive, 60.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slow_node_is_neither_declared_dead_nor_declares_others_dead(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(5)

    def stall(seconds: float) -> None:
        network.pause(names[2], seconds)
        network.at(network.now_s + seconds + 0.5, lambda: stall(2.8 - seconds))

    stall(0.3 + 0.2 * seed)
    network.run(180.0)
    assert network.deaths() == []
    assert network.nodes[names[2]].swim.statistics().counters.pauses > 20


@pytest.mark.parametrize("pause_s", [3.5, 20.0, 120.0])
def test_a_long_pause_ends_with_everybody_alive(pause_s: float) -> None:
    network = Network(4)
    names = network.cluster(5)
    network.pause(names[2], pause_s)
    network.run(pause_s)
    network.run_until(network.all_alive, 5.0)
    assert {change.member.node_id for change in network.deaths()} <= {names[2]}


def test_the_machine_stops_as_a_whole_and_nobody_is_declared_dead() -> None:
    network = Network(4)
    names = network.cluster(5)
    for name in names:
        network.pause(name, 60.0)
    network.run(180.0)
    assert network.deaths() == []
    assert network.all_alive()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restart_under_the_same_name_is_alive_everywhere_in_5_s(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(5)
    network.kill(names[1])
    network.run_until(lambda: set(network.states_of(names[1])) == {NodeState.DEAD}, 30.0)
    network.start(1, [3])
    network.run_until(network.all_alive, 5.0)


def test_a_restart_with_a_clock_set_back_raises_its_generation() -> None:
    network = Network(1)
    names = network.cluster(5)
    before = network.nodes[names[1]].swim.own.generation
    network.kill(names[1])
    network.run(40.0)
    node = network.start(1, [3], generation=before - 1_000)
    network.run_until(network.all_alive, 5.0)
    assert node.swim.own.generation == before + 1
    assert any(change.viewer == names[1] and change.member == node.swim.own for change in network.changes)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_split_of_ten_minutes_heals_in_two(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(5)
    network.split(names[:3], names[3:])
    network.run(600.0)
    assert len(network.deaths()) == 3 * 2 + 2 * 3
    network.split()
    network.run_until(network.all_alive, 120.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_node_cut_off_from_one_other_only_stays_alive(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(5)
    network.cut = {(names[0], names[1]), (names[1], names[0])}
    network.run(180.0)
    assert network.deaths() == []


def test_a_network_without_datagrams_is_carried_by_streams() -> None:
    network = Network(2)
    network.cluster(3)
    network.loss = 1.0
    network.run(120.0)
    assert network.deaths() == []
    assert network.all_alive()


@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_restarts_at_once(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(5)
    for name in names:
        network.kill(name)
    network.run(1.0)
    for number in range(5):
        network.start(number, [(number + 1) % 5, (number + 2) % 5])
    network.run_until(network.all_alive, 10.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_after_the_other_restarts_while_packets_are_lost(seed: int) -> None:
    network = Network(seed)
    names = network.cluster(5)
    network.loss = 0.1
    for number in range(5):
        network.kill(names[number])
        network.run(1.5)
        network.start(number, [(number + 1) % 5, (number + 2) % 5]).swim.set_ring_members(names)
        network.run(5.0)
    network.run_until(network.all_alive, 60.0)


@pytest.mark.parametrize("way", ["stop", "leave"])
@pytest.mark.parametrize("size", [5, 20])
def test_an_announced_end_is_known_at_once_and_without_suspicion(way: str, size: int) -> None:
    network = Network(3)
    names = network.cluster(size)
    leaver = network.nodes[names[2]]
    end = leaver.swim.stop if way == "stop" else leaver.swim.leave
    network.perform(leaver, end(network.now_s, network.wall_ms))
    network.run_until(lambda: set(network.states_of(names[2])) == {NodeState.LEFT}, 1.0, step_s=0.01)
    assert network.run_until(lambda: leaver.swim.is_announced, 5.0) < 5.0
    network.kill(names[2])
    network.run(60.0)
    about = [change for change in network.changes if change.member.node_id == names[2]]
    assert {change.member.state for change in about} == {NodeState.LEFT}
    assert {change.member.stopped for change in about} == {way == "stop"}
    assert not leaver.swim.is_alive(names[2])
    network.start(2, [0])
    network.run_until(network.all_alive, 5.0)


@pytest.mark.parametrize("way", ["stop", "leave"])
def test_an_end_is_announced_to_everybody_in_the_same_call(way: str) -> None:
    bench = Bench()
    others = [Member(f"n{number}", f"10.1.0.{number}", 7000, 1) for number in range(12)]
    bench.hear_of(*others)
    effects = getattr(bench.swim, way)(bench.now_s, bench.wall_ms)
    last = Member("self", "10.0.0.1", 7000, 10, 1, NodeState.LEFT, stopped=way == "stop")
    for other in others:
        assert Claim(last, "self") in bench.sent(effects, other.address)


def test_an_end_that_nobody_can_hear_is_announced_at_once() -> None:
    alone, heard = Bench(), Bench()
    heard.hear_of(Member("n1", "10.1.0.1", 7000, 1))
    for bench in (alone, heard):
        bench.swim.stop(bench.now_s, bench.wall_ms)
    assert (alone.swim.is_announced, heard.swim.is_announced) == (True, False)


def test_news_after_a_long_silence_is_not_taken_for_a_pause() -> None:
    bench = Bench()
    bench.tick(100.0)
    for number in range(3):
        bench.hear_of(Member(f"n{number}", f"10.1.0.{number}", 7000, 1))
        bench.tick(0.01)
    assert bench.swim.statistics().counters.pauses == 0


def test_a_stopped_node_cannot_be_talked_back_to_life() -> None:
    network = Network(3)
    names = network.cluster(3)
    leaver = network.nodes[names[2]]
    network.perform(leaver, leaver.swim.stop(network.now_s, network.wall_ms))
    network.run(1.0)
    alive = attrs.evolve(leaver.swim.own, state=NodeState.ALIVE, stopped=False)
    packet = Bench().codec("liar").encode([encode_claim(alive, "liar")], network.wall_ms)
    for node in network.running():
        network.inject(node, packet, ("10.7.7.7", 7000))
        assert sum(node.swim.statistics().counters.rejections.values()) == 0
    network.run(30.0)
    assert leaver.swim.own.state is NodeState.LEFT
    assert set(network.states_of(names[2])) == {NodeState.LEFT}


def test_of_two_processes_with_one_name_the_later_stays() -> None:
    network = Network(5)
    names = network.cluster(5)
    first = network.nodes[names[1]]
    second = network.start(1, [0], place=77)
    network.run_until(lambda: bool(first.conflicts), 5.0)
    first.is_running = False
    network.run(10.0)
    assert second.conflicts == []
    assert network.all_alive()


def test_views_never_go_back_through_all_kinds_of_trouble() -> None:
    network = Network(9)
    names = network.cluster(5)
    network.loss = 0.2
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for step in range(60):
        if step % 10 == 3:
            network.split(names[: step % 4 + 1], names[step % 4 + 1 :])
        elif step % 10 == 7:
            network.split()
            network.pause(names[step % 5], 6.0)
        network.run(2.0)
        for node in network.running():
            for member in node.swim.members():
                key = (node.swim.own.node_id, member.node_id)
                assert member.life >= seen.get(key, member.life)
                seen[key] = member.life
    network.split()
    network.loss = 0.0
    network.run_until(network.all_alive, 60.0)


def test_the_same_seed_gives_the_same_run() -> None:
    def trace() -> tuple[int, list[object]]:
        network = Network(11)
        names = network.cluster(5)
        network.loss = 0.1
        network.kill(names[4])
        network.run(30.0)
        return network.datagrams, [*network.changes]

    assert trace() == trace()


def rate(size: int) -> float:
    """Datagrams that one node of a quiet cluster of that size sends in a second."""
    network = Network(6)
    network.cluster(size)
    network.run(60.0)
    before = network.datagrams
    network.run(100.0)
    return (network.datagrams - before) / 100.0 / size


def test_the_rate_of_packets_does_not_depend_on_the_size() -> None:
    small, large = rate(5), rate(20)
    assert 1.5 < small < 3.0
    assert 1.5 < large < 3.0


def test_the_rate_of_packets_stays_bounded_in_trouble() -> None:
    network = Network(6)
    names = network.cluster(20)
    before = network.datagrams
    for name in names[15:]:
        network.kill(name)
    network.run(30.0)
    assert (network.datagrams - before) / 30.0 / 15 < 20.0


def test_packets_are_never_longer_than_the_limit() -> None:
    network = Network(8, MembershipConfig(packet_limit_bytes=1_024))
    network.start(0)
    for number in range(1, 60):
        network.start(number, [0])
    network.run_until(network.all_alive, 20.0)
    for number in range(10, 30):
        network.kill(node_name(number))
    network.run(20.0)
    assert 900 < max(network.packet_sizes) <= 1_024


def captured() -> list[bytes]:
    """Packets of a cluster in trouble."""
    network = Network(12)
    names = network.cluster(5)
    network.kill(names[4])
    payloads: list[bytes] = []
    network.taps.append(payloads.append)
    network.run(5.0)
    return payloads


PAYLOADS = captured()


@given(
    st.sampled_from(PAYLOADS),
    st.lists(st.tuples(st.integers(0, 1_399), st.integers(0, 255)), max_size=4),
    st.integers(0, 1_400),
)
def test_changed_packets_neither_raise_nor_change_a_view(
    payload: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    bench = Bench()
    mutated = bytearray(payload)
    for place, value in edits:
        mutated[place % len(mutated)] = value
    changed = bytes(mutated[:cut])
    bench.now_s = 5.0
    effects = bench.swim.handle_datagram(bench.now_s, bench.wall_ms, changed, ("10.9.9.9", 1))
    if changed != payload:
        assert not any(isinstance(effect, MemberChanged) for effect in effects)
    assert bench.swim.statistics().counters.datagrams_received == 1


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=1_500), max_size=20))
def test_any_bytes_leave_a_core_that_works(payloads: list[bytes]) -> None:
    bench = Bench()
    for payload in payloads:
        bench.swim.handle_datagram(bench.now_s, bench.wall_ms, payload, ("10.9.9.9", 1))
    bench.hear_of(Member("a", "10.0.0.2", 7000, 1))
    assert bench.swim.is_alive("a")
    assert sum(bench.swim.statistics().counters.rejections.values()) == len(payloads)


def test_a_thousand_members_cost_nothing_in_a_quiet_tick() -> None:
    bench = Bench()
    table = [(Member(f"n{number}", f"10.1.{number // 250}.{number % 250}", 7000, 1), "x") for number in range(1_000)]
    payload = exchange_payload(b"cluster", table, is_answer=True)
    assert isinstance(read_stream(payload, 1_000), Exchange)
    bench.stream("n0", payload)
    assert len(bench.swim.members()) == 1_001
    bench.tick(30.0)
    assert bench.swim.statistics().counters.datagrams_sent < 30 * 30


def test_bad_arguments_are_refused_by_name() -> None:
    own = Member("self", "10.0.0.1", 7000, 1)
    with pytest.raises(ValueError, match="DEAD"):
        Swim(MembershipConfig(), own.in_state(NodeState.DEAD), random.Random(1), (), b"c")
    with pytest.raises(ValueError, match="65 bytes"):
        Swim(MembershipConfig(), own, random.Random(1), (), b"c" * 65)
    with pytest.raises(ValueError, match="empty key"):
        Swim(MembershipConfig(), own, random.Random(1), (b"",), b"c")


def test_keys_are_rotated_through_a_running_cluster() -> None:
    network = Network(3, keyring=(b"old",))
    network.cluster(3)
    for keys in ((b"old", b"new"), (b"new", b"old"), (b"new",)):
        for node in network.running():
            node.swim.set_keyring(keys)
            network.run(3.0)
    network.run(30.0)
    assert network.deaths() == []
    assert all(sum(n.swim.statistics().counters.rejections.values()) == 0 for n in network.running())
