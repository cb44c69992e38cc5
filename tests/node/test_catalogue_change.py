"""When enough nodes hold a change of the catalogue: against a count over every partition."""

from itertools import combinations

import pytest

from dynacache.node.catalogue_change import Change, Levels
from dynacache.placement.table import MemberState
from dynacache.types import Level
from tests.fake_cluster import FakeCluster


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_quorum_is_one_in_every_partition(count: int) -> None:
    cluster = FakeCluster(count)
    members = cluster.nodes["n1"].members
    levels, placement = Levels(members), members.placement
    names = list(cluster.nodes)
    for size in range(count + 1):
        for holders in combinations(names, size):
            everywhere = all(
                2 * len(set(owners) & set(holders)) > len(owners)
                for partition in range(placement.partition_count)
                for owners in placement.write_sets(partition)
            )
            for level in (Level.QUORUM, Level.STRICT_QUORUM):
                assert (levels.lacking(level, set(holders)) is None) == everywhere
            lacking = levels.lacking(Level.ALL, set(holders))
            assert (lacking or []) == [name for name in names if name not in holders]
            assert levels.lacking(Level.ONE, set(holders)) is None


def test_a_member_that_is_gone_is_not_waited_for() -> None:
    cluster = FakeCluster(4)
    members = cluster.nodes["n1"].members
    levels = Levels(members)
    assert levels.lacking(Level.ALL, {"n1", "n2", "n3"}) == ["n4"]
    cluster.set_state("n4", MemberState.LEFT)
    assert levels.lacking(Level.ALL, {"n1", "n2", "n3"}) is None


def test_the_author_hears_once() -> None:
    levels = Levels(FakeCluster(3).nodes["n1"].members)
    heard: list[object] = []
    sent: list[object] = []
    waiting = {7: "n2", 8: "n3"}
    change = Change(levels, Level.QUORUM, heard.append, waiting, {"n1"}, lambda to, change: sent.append(to))
    assert change.refused(8)
    assert not change.refused(99)
    assert sent == [(8,)]
    assert not change.step()
    assert not change.replied(7, ())
    assert heard == [None]
    assert not change.lost(99)
    assert change.lost(8)
    change.overdue()
    assert heard == [None]
