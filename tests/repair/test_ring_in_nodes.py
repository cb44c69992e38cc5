"""Ring changes in whole nodes: join, leave, removal and return, with clients at strict quorum all the while."""

import attrs
import pytest

from dynacache.config import ClusterConfig, Config
from dynacache.errors import InvalidRequest
from dynacache.placement.table import MemberEntry, MemberState
from dynacache.types import Level
from dynacache.wire.messages import DONE, GET, SET, VALUE
from tests.fake_cluster import FakeCluster

S = MemberState
SOON = ClusterConfig(change_interval_s=1.0, join_undo_after_s=15.0)


@attrs.define
class Load:
    """A client that writes and reads at strict quorum while time passes, and knows what was acknowledged."""

    cluster: FakeCluster
    written: dict[bytes, bytes] = attrs.field(factory=dict)
    failed: int = 0
    count: int = 0

    def run(self, seconds: float, by: tuple[str, ...] = ()) -> None:
        """Write one key and read another, again and again."""
        end_s = self.cluster.now_s + seconds
        while self.cluster.now_s < end_s:
            names = [name for name in by or tuple(self.cluster.nodes) if self.serves(name)]
            name = names[self.count % len(names)]
            self.count += 1
            key, value = b"k%d" % (self.count % 97), b"v%d" % self.count
            reply = self.cluster.ask(name, [SET, key, 1, value, Level.STRICT_QUORUM], 0.02)
            if reply is not None and reply[0] == DONE:
                self.written[key] = value
            else:
                self.failed += 1
                self.written.pop(key, None)
            self.read(name, b"k%d" % (self.count * 31 % 97))

    def serves(self, name: str) -> bool:
        """Tell whether a client would ask a node: one that is about to end has told its clients so."""
        return name not in self.cluster.stopped and not self.cluster.nodes[name].members.is_stopping

    def read(self, name: str, key: bytes) -> None:
        """Read a key; whatever was acknowledged must come."""
        expected = self.written.get(key)
        reply = self.cluster.ask(name, [GET, key, Level.STRICT_QUORUM], 0.02)
        if expected is None:
            return
        if reply is None or reply[0] != VALUE:
            self.failed += 1
        else:
            assert reply[3] == expected, (name, key)

    def check_all(self) -> None:
        """Read everything from every node."""
        before = self.failed
        for name in self.cluster.nodes:
            if name not in self.cluster.stopped:
                for key in sorted(self.written):
                    self.read(name, key)
        assert self.failed == before


def state_of(cluster: FakeCluster, name: str) -> set[MemberState]:
    """The place of a member in the tables of all nodes."""
    return {node.members.table.entries[name].state for node in cluster.nodes.values()}


def entry_of(cluster: FakeCluster, name: str) -> MemberEntry:
    """A member's entry in the table of the first node."""
    return next(iter(cluster.nodes.values())).members.table.entries[name]


def cluster_of(size: int, settings: ClusterConfig = SOON) -> tuple[FakeCluster, Load]:
    """A cluster with some data in it."""
    cluster = FakeCluster(size, attrs.evolve(Config(), cluster=settings))
    load = Load(cluster)
    load.run(3.0)
    assert len(load.written) > 60
    return cluster, load


def join(cluster: FakeCluster, *names: str) -> None:
    """Start nodes that ask to become members."""
    for name in names:
        cluster.join(name)
        cluster.nodes[name].ring.request_join()


def test_a_node_joins_under_load_and_nothing_fails() -> None:
    cluster, load = cluster_of(3)
    join(cluster, "n4")
    load.run(12.0)
    assert state_of(cluster, "n4") == {S.NORMAL}
    assert load.failed == 0
    cluster.run(15.0)
    load.check_all()
    moved = cluster.nodes["n4"].transfer.statistics()["partitions_filled"]
    assert moved == len(cluster.nodes["n4"].members.placement.owned_by("n4"))
    assert all(not node.exchange.departing for node in cluster.nodes.values()), "what was displaced is handed over"


def test_a_node_that_is_configured_to_join_asks_by_itself() -> None:
    cluster, _ = cluster_of(3, attrs.evolve(SOON, join=True))
    cluster.join("n4")
    cluster.run(12.0)
    assert state_of(cluster, "n4") == {S.NORMAL}


def test_a_node_leaves_under_load_and_ends() -> None:
    cluster, load = cluster_of(4)
    cluster.nodes["n2"].ring.request_leave()
    load.run(10.0)
    assert "n2" in cluster.stopped
    assert not cluster.nodes["n2"].exchange.departing
    assert load.failed == 0
    cluster.kill("n2")
    assert state_of(cluster, "n2") == {S.LEFT}
    load.check_all()


def test_a_join_ends_although_a_node_is_dead() -> None:
    cluster, load = cluster_of(4)
    cluster.kill("n3")
    cluster.run(5.0)
    join(cluster, "n5")
    load.run(15.0, by=("n1", "n2"))
    assert state_of(cluster, "n5") == {S.NORMAL}
    by_quorum = cluster.nodes["n5"].transfer.statistics()
    assert by_quorum["partitions_filled"] != by_quorum["filled_from_displaced"]
    load.check_all()


def test_a_joiner_that_dies_is_undone_and_the_next_may_join() -> None:
    cluster, load = cluster_of(3)
    join(cluster, "n4")
    cluster.run(2.0)
    assert state_of(cluster, "n4") == {S.JOINING}
    cluster.kill("n4")
    cluster.run(10.0)
    join(cluster, "n5")
    cluster.run(5.0)
    assert state_of(cluster, "n5") == {S.OUTSIDE}, "one at a time"
    load.run(30.0, by=("n1", "n2", "n3"))
    assert state_of(cluster, "n4") == {S.REMOVED}
    cluster.run(10.0)
    assert state_of(cluster, "n5") == {S.NORMAL}
    load.check_all()


def test_a_joiner_restarted_empty_goes_on() -> None:
    cluster, load = cluster_of(3)
    join(cluster, "n4")
    cluster.run(3.0)
    cluster.kill("n4")
    cluster.run(1.0)
    cluster.restart("n4")
    assert cluster.nodes["n4"].members.table.entries["n4"].state is S.JOINING
    load.run(12.0, by=("n1", "n2", "n3"))
    assert state_of(cluster, "n4") == {S.NORMAL}
    load.check_all()


def test_only_a_dead_member_can_be_removed() -> None:
    cluster, _ = cluster_of(4)
    ring = cluster.nodes["n1"].ring
    for name, sentence in (("n3", "n3 is alive, only a dead"), ("n1", "n1 is alive"), ("n9", "got 'n9'")):
        with pytest.raises(InvalidRequest, match=sentence):
            ring.request_remove(name)
    assert state_of(cluster, "n3") == {S.NORMAL}


def test_a_dead_member_is_removed_and_its_copies_are_made_elsewhere() -> None:
    cluster, load = cluster_of(5)
    cluster.kill("n5")
    cluster.run(35.0)
    cluster.nodes["n2"].ring.request_remove("n5")
    load.run(15.0)
    assert state_of(cluster, "n5") == {S.REMOVED}
    assert all(not node.engine.warming for node in cluster.nodes.values())
    load.check_all()
    assert all(len(cluster.holders(key)) == 3 for key in load.written)
    assert all(node.transfer.statistics()["memory_lost"] == 0 for node in cluster.nodes.values())


def test_a_member_that_stays_away_is_removed_by_itself() -> None:
    cluster, load = cluster_of(4, attrs.evolve(SOON, auto_remove_after_s=10.0))
    cluster.kill("n4")
    load.run(60.0)
    assert state_of(cluster, "n4") == {S.REMOVED}
    load.check_all()


def test_a_minority_removes_nobody() -> None:
    cluster, _ = cluster_of(5, attrs.evolve(SOON, auto_remove_after_s=5.0))
    for name in ("n3", "n4", "n5"):
        cluster.kill(name)
    cluster.run(90.0)
    assert state_of(cluster, "n5") == {S.NORMAL}
    assert cluster.nodes["n1"].members.liveness("n5") == "dead"


def test_of_two_that_join_at_once_one_makes_way_and_both_come_in() -> None:
    cluster, load = cluster_of(3)
    join(cluster, "n4", "n5")
    for name in ("n4", "n5"):
        ring = cluster.nodes[name].ring
        ring._put(attrs.evolve(ring._own, state=S.JOINING, version=2))  # before they could hear of each other
        cluster.perform(name, cluster.nodes[name].shared.effects)
    cluster.run(0.5)
    assert [cluster.nodes[name].ring.steps_back for name in ("n4", "n5")] == [0, 1]
    load.run(30.0, by=("n1", "n2", "n3"))
    assert state_of(cluster, "n4") == state_of(cluster, "n5") == {S.NORMAL}
    assert load.failed == 0
    cluster.run(15.0)
    load.check_all()


def test_a_node_that_was_cut_off_and_removed_comes_back_in_a_new_place() -> None:
    cluster, load = cluster_of(4)
    for name in ("n1", "n2", "n3"):
        cluster.cut_link("n4", name)
    only_there = cluster.ask("n4", [SET, b"only-there", 1, b"x", Level.ONE], 0.5)
    assert only_there[0] == DONE
    cluster.run(40.0)
    cluster.nodes["n1"].ring.request_remove("n4")
    load.run(10.0, by=("n1", "n2", "n3"))
    assert entry_of(cluster, "n4").state is S.REMOVED
    cluster.heal()
    cluster.run(40.0)
    assert state_of(cluster, "n4") == {S.NORMAL}
    assert entry_of(cluster, "n4").place == entry_of(cluster, "n4").generation + 1
    assert [note.event for name, note in cluster.notes if name == "n4"].count("ring.own_place_removed") == 1
    load.written[b"only-there"] = b"x"
    load.check_all()


def test_who_is_restarted_with_an_older_table_fills_everything_once_it_hears_of_its_place() -> None:
    cluster, load = cluster_of(3)
    join(cluster, "n4")
    cluster.run(2.0)
    old = cluster.nodes["n1"].members.table
    assert old.entries["n4"].state is S.JOINING
    load.run(10.0)
    assert state_of(cluster, "n4") == {S.NORMAL}
    cluster.kill("n4")
    restarted = attrs.evolve(old.entries["n4"], generation=99)
    cluster._start("n4", old.with_entry(restarted), complete=False)
    cluster.nodes["n4"].engine.warming.clear()
    cluster._dial()
    cluster.run(0.1)
    node = cluster.nodes["n4"]
    assert node.members.table.entries["n4"].state is S.NORMAL
    assert node.engine.warming == node.members.placement.owned_by("n4")
    load.run(15.0)
    assert not node.engine.warming
    load.check_all()
