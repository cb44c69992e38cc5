"""The catalogue reaches every node: at once, over lost links, after restarts; reads wait for what a peer knew."""

from random import Random
from typing import Any

import pytest

from dynacache.errors import ClockUnsafe, DynacacheError, InvalidRequest, TimedOut
from dynacache.node.catalogue_sync import CatalogueSync
from dynacache.placement.table import MemberState
from dynacache.types import Level
from dynacache.versioning.packed import strip_local, write
from dynacache.wire.messages import (
    CATALOGUE,
    CATALOGUE_PAGE,
    CATALOGUE_PULL,
    GET,
    PAGE,
    PULL,
    READ_REPLY,
    SET,
    STALE_TABLE,
    VALUE,
)
from tests.fake_cluster import CLIENT, FakeCluster


def cluster_of(count: int) -> FakeCluster:
    cluster = FakeCluster(count)
    cluster.run(3.0)
    return cluster


def change(
    cluster: FakeCluster, name: str, entry: bytes, value: bytes = b"", level: int = Level.ONE, wait_s: float = 0.0
) -> list[DynacacheError | None]:
    """Change one entry at a node in a turn of its own; returns what its author heard so far, a list that fills."""
    heard: list[DynacacheError | None] = []
    node = cluster.nodes[name]
    cluster._turn(name, [], [])
    stamp = node.shared.clock.tick(node.shared.wall_ms)
    node.catalogue_sync.change([(entry, stamp, value)], level, 1_000, heard.append)
    cluster.perform(name, node.shared.effects)
    cluster.run(wait_s)
    return heard


def maps(cluster: FakeCluster) -> list[dict[bytes, tuple[int, bytes]]]:
    return [node.shared.catalogue.entries for node in cluster.nodes.values()]


def is_everywhere(cluster: FakeCluster, entry: bytes) -> bool:
    held = maps(cluster)
    return all(entry in each for each in held) and all(each == held[0] for each in held)


def pulls(cluster: FakeCluster) -> int:
    return sum(content[0] == CATALOGUE_PULL for _, _, _, content in cluster.seen)


def test_a_change_is_everywhere_at_once_and_needs_no_pull() -> None:
    cluster = cluster_of(5)
    before = pulls(cluster)
    assert change(cluster, "n2", b"Na", b"v", wait_s=0.05) == [None]
    assert is_everywhere(cluster, b"Na")
    assert pulls(cluster) == before


def test_at_rest_a_comparison_is_one_small_pair() -> None:
    cluster = cluster_of(3)
    change(cluster, "n1", b"Na", b"v" * 1_000, wait_s=10.0)
    cluster.seen.clear()
    cluster.run(30.0)
    seen = [content for _, _, _, content in cluster.seen if content[0] in (CATALOGUE, CATALOGUE_PULL, CATALOGUE_PAGE)]
    assert 20 <= len(seen) <= 70
    assert all(content[7] == [] for content in seen if content[0] == CATALOGUE_PAGE)


def test_who_was_cut_off_has_it_when_the_link_is_back() -> None:
    cluster = cluster_of(3)
    cluster.cut_link("n1", "n3")
    cluster.cut_link("n2", "n3")
    change(cluster, "n1", b"Na", wait_s=5.0)
    change(cluster, "n3", b"Nb", wait_s=5.0)
    assert b"Na" not in cluster.nodes["n3"].shared.catalogue.entries
    cluster.heal()
    cluster.run(0.2)
    assert is_everywhere(cluster, b"Na")
    assert is_everywhere(cluster, b"Nb")


def test_a_change_goes_round_a_cut_between_two() -> None:
    cluster = cluster_of(3)
    cluster.cut_link("n1", "n3")
    change(cluster, "n1", b"Na", wait_s=10.0)
    assert is_everywhere(cluster, b"Na")


def test_a_node_that_starts_again_knows_everything_soon() -> None:
    cluster = cluster_of(3)
    for number in range(50):
        change(cluster, f"n{number % 3 + 1}", b"N%d" % number)
    cluster.run(0.1)
    cluster.kill("n2")
    change(cluster, "n1", b"Nlate")
    cluster.restart("n2")
    cluster.run(1.0)
    assert is_everywhere(cluster, b"Nlate")
    change(cluster, "n2", b"Nnew", wait_s=0.1)  # its numbers have begun again, and nobody mistakes them
    assert is_everywhere(cluster, b"Nnew")
    assert len(maps(cluster)[0]) == 52


def test_pages_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynacache.node.catalogue_sync.PAGE_LIMIT_BYTES", 2_000)
    cluster = cluster_of(3)
    cluster.kill("n3")
    for number in range(30):
        change(cluster, "n1", b"N%d" % number, b"v" * 500)
    cluster.seen.clear()
    cluster.restart("n3")
    cluster.run(2.0)
    assert len(cluster.nodes["n3"].shared.catalogue.entries) == 30
    pages = [content for _, _, _, content in cluster.seen if content[0] == CATALOGUE_PAGE and content[7]]
    assert len(pages) >= 8
    assert max(len(content[7]) for content in pages) <= 3 * 5


@pytest.mark.parametrize("seed", range(8))
def test_maps_converge_whatever_is_cut_killed_and_changed(seed: int) -> None:
    random = Random(seed)
    cluster = FakeCluster(4)
    cluster.run(3.0)
    names = list(cluster.nodes)
    for _ in range(60):
        first, second = random.sample(names, 2)
        what = random.random()
        if what < 0.2:
            cluster.cut_link(first, second)
        elif what < 0.25:
            cluster.heal()
        elif what < 0.3 and first in cluster.nodes and len(cluster.nodes) > 2:
            cluster.kill(first)
        elif what < 0.4:
            for name in names:
                if name not in cluster.nodes:
                    cluster.restart(name)
        elif first in cluster.nodes:
            change(cluster, first, b"N%d" % random.randrange(6), b"%d" % random.randrange(9))
        cluster.run(random.choice([0.0, 0.01, 0.5]))
    cluster.heal()
    for name in names:
        if name not in cluster.nodes:
            cluster.restart(name)
    change(cluster, "n1", b"Nlast")
    cluster.run(13.0)
    assert is_everywhere(cluster, b"Nlast")
    assert len({node.shared.catalogue.digest for node in cluster.nodes.values()}) == 1


def test_levels() -> None:
    cluster = cluster_of(3)
    assert change(cluster, "n1", b"Na", level=Level.ALL, wait_s=0.1) == [None]
    cluster.kill("n3")
    assert change(cluster, "n1", b"Nb", level=Level.QUORUM, wait_s=0.1) == [None]
    heard = change(cluster, "n1", b"Nc", level=Level.ALL, wait_s=1.5)
    assert [type(each) for each in heard] == [TimedOut]
    assert "level all: 2 nodes hold the change, and not yet n3" in str(heard[0])
    cluster.cut_link("n1", "n2")
    heard = change(cluster, "n1", b"Nd", level=Level.QUORUM, wait_s=1.5)
    assert [type(each) for each in heard] == [TimedOut]
    assert change(cluster, "n1", b"Ne", level=Level.ONE) == [None]
    cluster.heal()
    cluster.restart("n3")
    cluster.run(5.0)
    assert is_everywhere(cluster, b"Nd")  # kept, and it has spread


def test_a_silent_node_makes_a_change_at_all_time_out_and_no_other() -> None:
    cluster = cluster_of(3)
    cluster.paused.add("n3")
    assert change(cluster, "n1", b"Na", level=Level.QUORUM, wait_s=0.1) == [None]
    heard = change(cluster, "n1", b"Nb", level=Level.ALL, wait_s=0.5)
    assert heard == []
    cluster.run(1.0)
    assert [type(each) for each in heard] == [TimedOut]


def test_what_cannot_be_changed_changes_nothing() -> None:
    node = cluster_of(1).nodes["n1"]
    for entries, level, error in (
        ([(b"", 1, b"")], Level.ONE, InvalidRequest),
        ([(b"N", 1, b"")], Level.STRONG, InvalidRequest),
        ([(b"N", 1, b""), (b"N", 0, b"")], Level.ONE, InvalidRequest),
    ):
        with pytest.raises(error):
            node.catalogue_sync.change(entries, level, 1_000, lambda error: None)
    node.shared.clock_safe = False
    with pytest.raises(ClockUnsafe):
        node.catalogue_sync.change([(b"N", 1, b"")], Level.ONE, 1_000, lambda error: None)
    assert node.shared.catalogue.entries == {}


def test_a_change_from_a_wrong_future_is_not_taken() -> None:
    cluster = cluster_of(3)
    node = cluster.nodes["n1"]
    ahead = node.shared.clock.last + (3_600_000 << 16)
    cluster._turn("n1", [], [])
    node.catalogue_sync.change([(b"Nfuture", ahead, b"")], Level.ONE, 1_000, lambda error: None)
    cluster.perform("n1", node.shared.effects)
    cluster.run(10.0)
    others = [cluster.nodes[name] for name in ("n2", "n3")]
    assert all(b"Nfuture" not in each.shared.catalogue.entries for each in others)
    assert all(each.catalogue_sync.refused > 0 for each in others)
    node.catalogue_sync.forget_after(node.shared.clock.last + (2_000 << 16))
    assert b"Nfuture" not in node.shared.catalogue.entries
    change(cluster, "n2", b"Nsound", wait_s=10.0)
    assert is_everywhere(cluster, b"Nsound")


def test_what_one_node_has_lost_comes_back_though_no_number_is_missing() -> None:
    cluster = cluster_of(2)
    change(cluster, "n1", b"Na", wait_s=7.0)
    cluster.nodes["n2"].shared.catalogue.drop(b"Na")
    cluster.run(40.0)
    assert is_everywhere(cluster, b"Na")


# Reads


def set_everywhere(cluster: FakeCluster, key: bytes) -> None:
    assert cluster.ask("n1", [SET, key, 1, b"value", Level.ALL])[0] == 66


def replies(cluster: FakeCluster) -> list[Any]:
    return [content for _, _, _, content in cluster.seen if content[0] == READ_REPLY]


def test_a_read_reply_tells_how_far_the_catalogue_has_come() -> None:
    cluster = cluster_of(3)
    set_everywhere(cluster, b"k")
    assert cluster.ask("n1", [GET, b"k", Level.QUORUM])[0] == VALUE
    assert all(len(content) == 4 for content in replies(cluster))
    change(cluster, "n2", b"Na", wait_s=1.0)
    cluster.seen.clear()
    assert cluster.ask("n1", [GET, b"k", Level.QUORUM])[0] == VALUE
    assert [content[4] for content in replies(cluster)] == [1]


def quorum_read_over_a_lost_push(level: int) -> tuple[FakeCluster, int]:
    """n2 knows a change that n1 was not told; n1 reads, asking n2; returns the cluster and the request."""
    cluster = cluster_of(3)
    set_everywhere(cluster, b"k")
    cluster.cut_link("n1", "n3")
    cluster.run(0.1)
    n2 = cluster.nodes["n2"]
    n2.shared.catalogue.merge(b"Et\x00a", n2.shared.clock.last, b"")
    cluster.seen.clear()
    rid = cluster.next_rid
    cluster.next_rid += 1
    cluster._turn("n1", [(CLIENT, [[GET, rid, b"k", int(level)]])], [])
    return cluster, rid


def test_a_quorum_read_waits_for_what_the_peer_knew() -> None:
    cluster, rid = quorum_read_over_a_lost_push(Level.QUORUM)
    for _ in range(500):
        if rid in cluster.replies:
            break
        cluster.run(0.001)
    assert b"Et\x00a" in cluster.nodes["n1"].shared.catalogue.entries
    assert cluster.nodes["n1"].shared.counters.reads_held == 1
    assert [reply[0] for reply in cluster.replies[rid]] == [VALUE]
    cluster.run(3.0)
    assert len(cluster.replies[rid]) == 1


def test_a_version_that_came_while_a_read_was_held_is_not_taken_for_the_one_asked_about() -> None:
    cluster, rid = quorum_read_over_a_lost_push(Level.QUORUM)
    older, partition = cluster.record("n2", b"k"), cluster.partition(b"k")
    assert older is not None
    n1 = cluster.nodes["n1"]
    newer, _ = write(older, n1.shared.issuer, n1.shared.clock.last + 1, 0, 1, b"newer", n1.shared.now_ms)
    n1.engine.put(partition, b"k", newer)  # as from a coordinator whose write reached n1 alone
    cluster.run(1.0)
    assert n1.shared.counters.reads_held == 1
    assert cluster.replies[rid][0][3] == b"newer"
    assert cluster.record("n2", b"k") == strip_local(newer), "what a quorum read returns a quorum holds"


def test_a_read_at_one_does_not_wait() -> None:
    cluster, rid = quorum_read_over_a_lost_push(Level.ONE)
    assert [reply[0] for reply in cluster.replies[rid]] == [VALUE]


def test_a_held_read_asks_another_when_the_peer_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(4)
    key = next(key for key in (b"k%d" % n for n in range(99)) if sorted(cluster.owners(key)) == ["n1", "n2", "n3"])
    set_everywhere(cluster, key)
    answer = CatalogueSync._answer
    mute = {cluster.nodes[name].catalogue_sync for name in ("n2",)}
    monkeypatch.setattr(CatalogueSync, "_answer", lambda sync, *rest: None if sync in mute else answer(sync, *rest))
    cluster.nodes["n2"].shared.catalogue.merge(b"Et\x00a", cluster.nodes["n2"].shared.clock.last, b"")
    for _ in range(4):  # every other read asks n2 first
        assert cluster.ask("n1", [GET, key, Level.QUORUM, 5_000], 3.0)[0] == VALUE
    assert cluster.nodes["n1"].shared.counters.reads_held > 0


# Ring changes


def test_who_holds_another_table_is_told_again_before_it_counts() -> None:
    cluster = cluster_of(3)
    cluster.join("n4")
    cluster.run(3.0)
    cluster.set_state("n4", MemberState.JOINING, known_to=("n2",))
    cluster.seen.clear()
    assert change(cluster, "n1", b"Na", level=Level.ALL, wait_s=0.5) == [None]
    refused = [source for source, _, _, content in cluster.seen if content[0] == STALE_TABLE]
    assert "n2" in refused
    assert is_everywhere(cluster, b"Na")


def test_a_page_waits_for_what_its_source_knows_of_invalidations() -> None:
    cluster = cluster_of(3)
    set_everywhere(cluster, b"k")
    assert change(cluster, "n1", b"Nbefore", level=Level.ALL, wait_s=1.0) == [None]
    cluster.kill("n3")
    cluster.restart("n3")
    n3 = cluster.nodes["n3"]
    asked = list[int]()
    for _ in range(4_000):
        cluster.run(0.005)
        pages = [content for _, to, _, content in cluster.seen if content[0] == PAGE and to == "n3"]
        if pages and not asked:
            assert len(pages[0]) == 7
            # The peers know more, but the push of it is lost to n3.
            for name in ("n1", "n2"):
                other = cluster.nodes[name].shared
                other.catalogue.merge(b"Nlost", other.clock.last, b"")
            asked.append(len(n3.engine.warming))
        if not n3.engine.warming:
            break
    assert asked
    assert asked[0] > 0
    assert not n3.engine.warming
    assert b"Nlost" in n3.shared.catalogue.entries


def test_a_page_is_asked_for_again_where_the_catalogue_cannot_be_pulled() -> None:
    shared_waits: list[bool] = []

    class Waiter:
        def answered(self, message: Any) -> None:
            shared_waits.append(True)

        def failed(self) -> None:
            shared_waits.append(False)

    cluster = cluster_of(2)
    n1 = cluster.nodes["n1"]
    cluster._turn("n1", [], [])
    n1.repair_port.ask("n2", PULL, (0, [], 1_000), Waiter(), 1_000)
    rid, request = next(iter(n1.shared.pending.items()))
    assert request.replied(0, [PAGE, rid, 0, [b"", b""], 0, [], 5])
    del n1.shared.pending[rid]
    assert shared_waits == []
    cluster.cut_link("n1", "n2")
    cluster.run(3.0)
    assert shared_waits == [False]


def test_a_full_catalogue_leaves_out_and_counts_and_keeps_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(2)
    monkeypatch.setattr("dynacache.coordination.catalogue.ENTRIES_LIMIT", 1)
    cluster.nodes["n1"].shared.catalogue.merge(b"Na", 1, b"\x80")
    cluster.nodes["n1"].shared.catalogue.merge(b"Nb", 1, b"\x80")
    cluster.nodes["n2"].shared.catalogue.merge(b"Nc", 1, b"\x80")
    cluster.run(8.0)
    assert sum(node.catalogue_sync.refused for node in cluster.nodes.values()) > 0
    assert all(len(node.shared.catalogue.entries) == 2 for node in cluster.nodes.values())
    assert all(node.counters.malformed_messages == 0 for node in cluster.nodes.values())


def test_who_has_no_room_for_a_change_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of(2)
    for name in (b"Na", b"Nb"):
        cluster.nodes["n2"].shared.catalogue.merge(name, 1, b"\x80")
    monkeypatch.setattr("dynacache.coordination.catalogue.ENTRIES_LIMIT", 1)
    (error,) = change(cluster, "n1", b"Nc", level=Level.ALL, wait_s=2.0)
    assert isinstance(error, TimedOut)
