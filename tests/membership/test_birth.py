"""A cluster is born once: the exchange by hand, and the machines against loss, delay, kills and restarts."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from dynacache.errors import ClusterMismatch, DynacacheError, NoSeedNorFounders, SeedsUnreachable, StartupError
from dynacache.membership.birth import (
    ANNOUNCE_INTERVAL_S,
    ASK_INTERVAL_S,
    ASK_TIMEOUT_S,
    Address,
    AskState,
    Birth,
    Born,
    Failed,
    Joined,
)
from dynacache.membership.birth_messages import Asking, Known, Refused, decode, encode
from dynacache.membership.founding import Founding
from dynacache.placement.birth_record import BirthRecord, Candidate
from dynacache.placement.checks import WireValueError
from dynacache.placement.table import MemberState
from tests.membership.birth_network import Faults, Network, network

RECORD = BirthRecord.of_candidates(
    [Candidate("a", 1, "host-a", 7400, "", 1), Candidate("b", 1, "h", 1, "", 1)], 1024, 3
)


def birth(name: str, founders: int | None, *seeds: str, incarnation: int = 1, **more: Any) -> Birth:
    """A process at `host-<name>` with the hosts of others as seeds."""
    addresses = tuple(address(seed) for seed in seeds)
    arguments: dict[str, Any] = {"founders": founders, "seeds": addresses, "incarnation": incarnation, **more}
    return Birth(node_id=name, host=f"host-{name}", port=7400, **arguments)


def address(name: str) -> Address:
    """Where a process lives."""
    return f"host-{name}", 7400


def exchange(now_s: float, *processes: Birth) -> list[AskState]:
    """Everyone asks whom it wants to; those who are not here cannot be reached."""
    asked = []
    for process in processes:
        for ask in process.tick(now_s):
            asked.append(ask)
            served = [other for other in processes if (other.host, other.port) == ask.address]
            if served:
                process.handle_reply(now_s, ask.address, served[0].handle_request(now_s, ask.message))
            else:
                process.handle_unreachable(now_s, ask.address, "connection refused")
    return asked


def settle(*processes: Birth, start_s: float = 0.0) -> None:
    """Two seconds of exchanges."""
    for step in range(10):
        exchange(start_s + step * ASK_INTERVAL_S, *processes)


def failure(process: Birth) -> DynacacheError:
    """The error that a process ended with."""
    assert isinstance(process.outcome, Failed), process.outcome
    return process.outcome.error


# Founding


def test_one_founder_without_seeds_is_born_at_once() -> None:
    alone = birth("a", 1)
    assert isinstance(alone.outcome, Born)
    assert alone.outcome.complete
    assert alone.outcome.record.founders == (("a", 1),)
    assert alone.outcome.entry.state is MemberState.NORMAL
    assert alone.waiting() == ""


def test_founders_find_each_other_through_one_seed() -> None:
    processes = [birth(name, 5, *"a" * (name != "a")) for name in "abcde"]
    settle(*processes)
    tables = []
    for process in processes:
        assert isinstance(process.outcome, Born)
        assert process.outcome.entry.node_id == process.node_id
        tables.append(process.outcome.table)
    assert tables == tables[:1] * 5


def test_the_surplus_starts_later() -> None:
    processes = [birth(name, 3, *"abcde") for name in "ebdca"]
    settle(*processes)
    outcomes = {process.node_id: process.outcome for process in processes}
    assert [type(outcomes[name]) for name in "abcde"] == [Born, Born, Born, Joined, Joined]
    joined = outcomes["d"]
    assert isinstance(joined, Joined)
    assert joined.entry.state is MemberState.OUTSIDE


def test_a_founder_waits_for_the_answer_of_each_seed() -> None:
    """b might be alive with a cluster that nobody else here knows."""
    a, c = birth("a", 2, "b", "c"), birth("c", 2, "a")
    settle(a, c)
    assert a.outcome is None
    assert a.waiting() == "waiting for an answer of each seed, still silent: host-b:7400"
    settle(a, c, birth("b", None, "a"), start_s=9.0)
    assert isinstance(a.outcome, Born)


def test_it_says_what_it_waits_for() -> None:
    a, b = birth("a", 3, "b"), birth("b", 3)
    assert b.waiting() == "waiting for founders: 1 of 3 here (b)"
    settle(a, b)
    assert a.waiting() == "waiting for founders: 2 of 3 here (a, b)"
    late = birth("c", 3, "b")
    exchange(9.0, late, b)
    exchange(9.5, a, b)
    assert a.waiting() == "waiting for an answer of each candidate, still silent: c at host-c:7400"


def test_founders_with_other_numbers_refuse_each_other() -> None:
    a, b = birth("a", 2), birth("b", 2, "a", partition_count=4096)
    settle(a, b)
    assert isinstance(failure(b), StartupError)
    assert "a was started with" in str(failure(b))
    assert "4096" in str(failure(b))
    assert a.outcome is None
    assert "not counted: b was started with" in a.waiting()


# Coming back, and coming later


@pytest.mark.parametrize("seeds", ["b", ""])
def test_a_founder_started_again_finds_its_cluster(seeds: str) -> None:
    """Also without seeds: those that are alive call on every place in turn."""
    a, b = birth("a", 2), birth("b", 2, "a")
    settle(a, b)
    again = birth("a", 2, *seeds, incarnation=2)
    settle(again, b, start_s=10.0)
    exchange(10.0 + 2 * ANNOUNCE_INTERVAL_S, again, b)
    assert isinstance(again.outcome, Joined)
    assert isinstance(b.outcome, Born)
    assert again.outcome.record == b.outcome.record
    assert again.outcome.entry.state is MemberState.NORMAL
    assert again.outcome.entry.generation == 2


def test_a_later_node_is_told_by_any_member_also_a_later_one() -> None:
    a, b, c = birth("a", 1), birth("b", None, "a"), birth("c", None, "b")
    settle(a, b, c)
    assert isinstance(b.outcome, Joined)
    assert isinstance(c.outcome, Joined)
    assert c.outcome.record == b.outcome.record
    assert list(c.outcome.table.entries) == ["a", "b", "c"]
    assert [entry.state for entry in c.outcome.table.entries.values()] == [MemberState.NORMAL] + [
        MemberState.OUTSIDE
    ] * 2


def test_answers_carry_the_present_table() -> None:
    a, b = birth("a", 1), birth("b", None, "a")
    settle(a, b)
    assert isinstance(a.outcome, Born)
    assert isinstance(b.outcome, Joined)
    a.set_table(b.outcome.table)
    known = decode(a.handle_request(5.0, encode(Asking("x"))))
    assert isinstance(known, Known)
    assert known.table == b.outcome.table


def test_a_later_node_waits_while_its_seed_is_being_born() -> None:
    a, c = birth("a", 2), birth("c", None, "a")
    for second in range(30):
        exchange(float(second), c, a)
    assert c.outcome is None
    b = birth("b", 2, "a")
    settle(a, b, start_s=30.0)
    settle(a, b, c, start_s=33.0)
    assert isinstance(c.outcome, Joined)


def test_a_cluster_calls_only_on_those_who_have_a_place() -> None:
    known = encode(Known("a", RECORD, RECORD.first_table([Candidate("a", 1, "host-a", 7400, "", 1)])))
    stranger = birth("x", 2)
    assert decode(stranger.handle_request(0.0, known)) == decode(stranger.handle_request(0.0, known))
    assert stranger.outcome is None
    returned = birth("a", 2, incarnation=7)
    returned.handle_request(0.0, known)
    assert isinstance(returned.outcome, Joined)


def test_members_are_called_on_in_turn_but_not_those_with_a_link() -> None:
    processes = [birth(name, 3, *"a" * (name != "a")) for name in "abc"]
    settle(*processes)
    a, start_s = processes[0], 100.0
    calls = [ask.address for step in range(40) for ask in a.tick(start_s + step * ANNOUNCE_INTERVAL_S / 10)]
    assert calls == [address("b"), address("c"), address("b"), address("c")]
    a.set_connected(frozenset({"b"}))
    assert [ask.address for step in range(4) for ask in a.tick(200.0 + step * 5)] == [address("c")] * 4
    a.set_connected(frozenset({"b", "c"}))
    assert a.tick(300.0) == []


# Starts that end


def test_neither_seed_nor_founders() -> None:
    for process in (birth("a", None), birth("a", None, "a")):
        assert isinstance(failure(process), NoSeedNorFounders)
        assert process.tick(0.0) == []


def test_no_seed_answers() -> None:
    a = birth("a", None, "b", "c")
    assert isinstance(decode(a.handle_request(0.0, encode(Asking("x")))), Asking)
    for step in range(99):
        exchange(step / 10, a)
    assert a.outcome is None
    exchange(10.0, a)
    assert isinstance(failure(a), SeedsUnreachable)
    assert str(failure(a)) == "no seed led to a cluster: host-b:7400 connection refused; host-c:7400 connection refused"
    assert isinstance(decode(a.handle_request(11.0, encode(Asking("x")))), Refused)


def test_seeds_that_know_nothing_themselves() -> None:
    a, b = birth("a", None, "b"), birth("b", None, "a")
    for step in range(102):
        exchange(step / 10, a, b)
    assert "host-b:7400 answered, but knows no cluster and founds none" in str(failure(a))


def test_another_cluster_than_expected() -> None:
    a = birth("a", 1)
    for process in (
        birth("b", None, "a", expected_cluster_id=bytes(16)),
        birth("b", 2, "a", expected_cluster_id=bytes(16)),
    ):
        settle(a, process)
        assert isinstance(failure(process), ClusterMismatch)
        assert "host-a:7400 is of cluster" in str(failure(process))
    assert isinstance(a.outcome, Born)
    expecting = birth("b", None, "a", expected_cluster_id=a.outcome.record.cluster_id)
    settle(a, expecting)
    assert isinstance(expecting.outcome, Joined)


def test_who_expects_a_cluster_founds_none() -> None:
    a = birth("a", 1, expected_cluster_id=bytes(16))
    assert a.outcome is None
    assert a.tick(0.0) == []


def test_a_name_that_is_taken() -> None:
    one, b = birth("a", 3), birth("b", 3)
    other = Birth(node_id="a", incarnation=5, host="elsewhere", port=1, founders=3, seeds=(address("b"), address("a")))
    for step in range(40):
        exchange(step * ASK_INTERVAL_S, one, other, b)
    failed = [process for process in (one, other) if isinstance(process.outcome, Failed)]
    assert failed
    assert "the name a is taken by a node at" in str(failure(failed[0]))
    assert b.outcome is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"incarnation": -1}, "incarnation of a: got -1"),
        ({"weight": 0}, "weight of a: got 0"),
        ({"zone": "\n"}, "zone of a"),
        ({"partition_count": 1000}, "partition count: got 1000"),
        ({"replication_factor": 0}, "replication factor: got 0"),
        ({"founders": 0}, "founders: got 0"),
    ],
)
def test_bad_parameters_are_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(WireValueError, match=named):
        Birth(**{"node_id": "a", "incarnation": 1, "host": "h", "port": 1, "founders": 1, **arguments})


# Asking


def test_each_address_is_asked_once_at_a_time() -> None:
    a = birth("a", 2, "b")
    assert a.next_deadline() == float("-inf")
    assert [ask.address for ask in a.tick(0.0)] == [address("b")]
    assert a.tick(1.0) == []
    assert a.next_deadline() == ASK_TIMEOUT_S
    assert len(a.tick(ASK_TIMEOUT_S)) == 1, "no word at all: asked again"
    a.handle_unreachable(2.1, address("b"), "connection refused")
    assert a.next_deadline() == 2.1 + ASK_INTERVAL_S
    assert len(a.tick(2.1 + ASK_INTERVAL_S)) == 1


@pytest.mark.parametrize("message", [None, 5, b"", {}, {"kind": "standing"}, [1], {"kind": "known", "record": []}])
def test_any_object_gets_an_answer_and_changes_nothing(message: object) -> None:
    a = birth("a", 2, "b")
    a.tick(0.0)
    before = a.handle_request(0.0, encode(Asking("x")))
    assert isinstance(decode(a.handle_request(0.0, message)), Refused)
    a.handle_reply(0.0, address("b"), message)
    assert a.handle_request(0.0, encode(Asking("x"))) == before
    assert "still silent: host-b:7400" in a.waiting()


# All at once, against faults


def swarm(seed: int) -> Faults:
    """Faults whose kind and measure are drawn too."""
    draw = random.Random(f"faults of {seed}")
    return Faults(
        loss=draw.choice((0.0, 0.05, 0.2, 0.4)),
        slow=draw.choice((0.0, 0.05, 0.2)),
        slow_s=draw.choice((0.3, 2.0, 4.0)),
        kills_per_s=draw.choice((0.3, 1.0, 3.0)),
        away_s=draw.choice((0.1, 0.5, 1.5)),
        strike=draw.choice((0.1, 0.5, 1.0)),
    )


def exact(seed: int) -> Network:
    """As many candidates as founders, two to five, each with one seed but the first, which has none."""
    return network(seed, 2 + seed % 4, 2 + seed % 4, swarm(seed))


def surplus(seed: int) -> Network:
    """More candidates than founders, every address a seed; with two founders even disjoint sets of them."""
    return network(seed, 4 + seed % 3, 2 + seed % 2, swarm(seed), everyone_is_seed=True)


@pytest.mark.parametrize("build", [exact, surplus])
def test_at_most_one_cluster_is_born_and_everyone_ends_in_it(build: Callable[[int], Network]) -> None:
    """The network asserts it after every event; here the faults must have come where they hurt."""
    kills = after_choice = complete = 0
    for seed in range(100):
        cluster = build(seed)
        cluster.run()
        assert len(cluster.records) == 1
        kills += cluster.kills
        after_choice += cluster.kills_after_choice
        complete += len(set(cluster.complete))
    assert kills > 300
    assert after_choice > 50
    assert complete > 100


def test_a_kill_at_every_moment() -> None:
    """One process is killed after the n-th event, for every n until the birth is over, and starts again."""
    quiet = Faults(until_s=3.0, loss=0.0, slow=0.0, kills_per_s=0.0, strike=0.0, clock_back=0.0)
    for moment in range(150):
        cluster = network(4, 3, 3, quiet)
        victim = cluster.machines[moment % 3]
        cluster.later(0.01 + moment / 100, partial(cluster.kill, victim, 0.15))
        cluster.run()
        assert len(cluster.records) == 1
        assert cluster.kills == 1


def one_phase(self: Founding) -> None:
    """The planted mistake: a record counts as soon as all signatures have come together here."""
    lock = self._locks.get(self.me.node_id)
    if lock is not None:
        self.decided = lock.value


def test_the_faults_find_a_birth_in_one_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Founding, "_decide", one_phase)
    assert any(founds_two(exact(seed)) for seed in range(200))


def founds_two(cluster: Network) -> bool:
    """Whether a run ends with two clusters."""
    try:
        cluster.run()
    except AssertionError as error:
        return "two clusters" in str(error) or "chosen" in str(error)
    return False
