"""Rendezvous: balance, small moves, zones, weights; and the same owners in every process."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest

from dynacache.placement.rendezvous import Assignment, Holder, assign, distance

Q = 1024


def holders(count: int, zones: tuple[str, ...] = ("",), weights: tuple[int, ...] = (1,)) -> tuple[Holder, ...]:
    """Members in order of id, zones and weights dealt in turn."""
    dealt = (
        Holder(f"node-{index}", zones[index % len(zones)], weights[index % len(weights)]) for index in range(count)
    )
    return tuple(sorted(dealt, key=lambda holder: holder.node_id))


def copies(assignment: Assignment) -> Counter[str]:
    """Copies by node."""
    return Counter(node_id for owners in assignment.owners for node_id in owners)


def moved(before: Assignment, after: Assignment) -> list[int]:
    """By partition, how many owners it gained."""
    return [len(set(new) - set(old)) for old, new in zip(before.owners, after.owners, strict=True)]


def test_owners_never_change() -> None:
    """Golden: a release that changed one of these would misplace all data of a running cluster."""
    owners = assign(holders(5, ("a", "b", "c"), (1, 2)), Q, 3).owners
    assert owners[:4] == (
        ("node-3", "node-4", "node-2"),
        ("node-3", "node-1", "node-2"),
        ("node-0", "node-1", "node-2"),
        ("node-4", "node-3", "node-2"),
    )
    assert [distance("node-1", weight, 77) for weight in (1, 2, 5)] == [
        3852256070391517902,
        3852256070391517902,
        1364981092535954103,
    ]


SCRIPT = """
import json
from tests.placement.test_rendezvous import holders
from dynacache.placement.rendezvous import assign
assignment = assign(holders(7, ("a", "b", "c"), (1, 2)), 256, 3)
print(json.dumps([assignment.owners, [assignment.preference(p) for p in range(256)]]))
"""


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_owners_are_the_same_in_another_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    output = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True).stdout
    assignment = assign(holders(7, ("a", "b", "c"), (1, 2)), 256, 3)
    here = [assignment.owners, [assignment.preference(partition) for partition in range(256)]]
    assert json.loads(output) == json.loads(json.dumps(here))


@pytest.mark.parametrize(("count", "bound"), [(5, 1.15), (10, 1.2), (20, 1.3)])
def test_balance(count: int, bound: float) -> None:
    loads = copies(assign(holders(count), Q, 3))
    assert len(loads) == count
    assert max(loads.values()) / (3 * Q / count) <= bound


@pytest.mark.parametrize("zones", [("",), ("a", "b", "c")])
@pytest.mark.parametrize("count", [4, 5, 9, 20])
def test_a_join_moves_the_ideal_and_one_owner_at_most(count: int, zones: tuple[str, ...]) -> None:
    joined = holders(count + 1, zones)
    before = assign(tuple(holder for holder in joined if holder.node_id != f"node-{count}"), Q, 3)
    after = assign(joined, Q, 3)
    changes = moved(before, after)
    assert max(changes) == 1
    assert all(f"node-{count}" in after.owners[p] for p, change in enumerate(changes) if change)
    if len(zones) == 1:
        assert 0.9 <= sum(changes) / (3 * Q / (count + 1)) <= 1.1


def test_random_changes_move_one_owner_at_most() -> None:
    """Any one holder that comes or goes, with zones and weights, while the zones stay the same."""
    draw = random.Random(7)
    for _ in range(60):
        zones = ["a", "b", "c"][: draw.randint(1, 3)]
        everyone = [Holder(f"n{index}", draw.choice(zones), draw.randint(1, 3)) for index in range(draw.randint(4, 9))]
        everyone += [Holder(f"z{zone}", zone, 1) for zone in zones]
        changing = everyone[0]
        rest = tuple(holder for holder in everyone if holder is not changing)
        replication_factor = draw.randint(1, 5)
        before, after = (assign(tuple(group), 64, replication_factor) for group in (rest, sorted(everyone, key=repr)))
        assert max(moved(before, after)) <= 1


def test_a_first_other_weight_moves_only_its_share() -> None:
    before = assign(holders(5), Q, 3)
    after = assign((*holders(5), Holder("node-5", "", 2)), Q, 3)
    assert max(moved(before, after)) == 1
    chance = 1 - (5 / 7) * (4 / 6) * (3 / 5)  # not to be drawn first, second, nor third
    assert 0.9 <= sum(moved(before, after)) / (Q * chance) <= 1.1


def test_weights_draw_their_share() -> None:
    """Exact for the nearest owner: a chance proportional to the weight."""
    first = Counter(owners[0] for owners in assign(holders(6, weights=(1, 2, 4)), 4096, 3).owners)
    for index in range(6):
        expected = 4096 * (1, 2, 4)[index % 3] / 14
        assert abs(first[f"node-{index}"] - expected) < 5 * expected**0.5


@pytest.mark.parametrize(("count", "copies_wanted"), [(0, 3), (1, 3), (2, 3), (3, 3), (9, 3), (9, 5), (9, 1)])
def test_as_many_different_owners_as_there_can_be(count: int, copies_wanted: int) -> None:
    for owners in assign(holders(count, ("a", "b")), 64, copies_wanted).owners:
        assert len(owners) == len(set(owners)) == min(count, copies_wanted)


@pytest.mark.parametrize(("zones", "cap"), [(("a", "b", "c"), 1), (("a", "b"), 2), (("a", "a", "a", "b"), 2)])
def test_zones_share_the_copies(zones: tuple[str, ...], cap: int) -> None:
    members = holders(12, zones)
    zone_of = {holder.node_id: holder.zone for holder in members}
    assignment = assign(members, Q, 3)
    assert assignment.zone_violations == 0
    assert max(max(Counter(map(zone_of.__getitem__, owners)).values()) for owners in assignment.owners) == cap


def test_zones_that_cannot_hold_the_copies_are_overruled_and_counted() -> None:
    members = (Holder("a1", "a", 1), *(Holder(f"b{index}", "b", 1) for index in range(4)))
    assignment = assign(members, 64, 4)
    assert assignment.zone_violations == 64
    for owners in assignment.owners:
        assert len(owners) == 4
        assert "a1" in owners
    assert assign(members[1:3], 64, 4).zone_violations == 0, "one zone is no zone"


def test_the_preference_goes_on_through_everyone_with_the_emptiest_zones_first() -> None:
    members = holders(9, ("a", "b", "c"))
    zone_of = {holder.node_id: holder.zone for holder in members}
    assignment = assign(members, 64, 3)
    for partition in range(64):
        preference = assignment.preference(partition)
        assert preference[:3] == assignment.owners[partition]
        assert sorted(preference) == sorted(zone_of)
        for start in (3, 6):
            assert {zone_of[node_id] for node_id in preference[start : start + 3]} == {"a", "b", "c"}


def test_without_zones_the_preference_is_the_order_of_distance() -> None:
    members = holders(9)
    for partition in range(64):
        far = [distance(node_id, 1, partition) for node_id in assign(members, 64, 3).preference(partition)]
        assert all(nearer <= farther for nearer, farther in pairwise(far))


def test_all_carry_the_load_of_one_that_dies() -> None:
    assignment = assign(holders(6), Q, 3)
    heirs = Counter(
        assignment.preference(partition)[3] for partition in range(Q) if "node-0" in assignment.owners[partition]
    )
    assert len(heirs) == 5
    assert max(heirs.values()) < 1.5 * sum(heirs.values()) / 5
