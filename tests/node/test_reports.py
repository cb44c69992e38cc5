"""Reports: true, bounded, and clear about what can be asked."""

import pytest

from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import qualify, with_factor
from dynacache.placement.table import MemberTable
from dynacache.wire.messages import ERROR, REPORT, REPORTED, SET
from tests.fake_cluster import FakeCluster

CLUSTER = FakeCluster(3)


def test_status_names_every_member() -> None:
    report = CLUSTER.ask("n1", [REPORT, "status"])[2]
    assert [row["node"] for row in report["members"]] == ["n1", "n2", "n3"]
    assert sum(row["partitions"] for row in report["members"]) == 3 * 1024
    assert report["ready"] is True
    assert report["warming_partitions"] == 0


def test_owners_of_a_key() -> None:
    report = CLUSTER.ask("n2", [REPORT, "owners", b"key"])[2]
    assert sorted(report["owners"]) == ["n1", "n2", "n3"]
    assert 0 <= report["partition"] < 1024


def test_statistics_count() -> None:
    CLUSTER.ask("n3", [SET, b"key", 1, b"value"])
    report = CLUSTER.ask("n3", [REPORT, "statistics"])[2]
    assert report["writes"] == 1
    assert report["storage_entries"] == 1


@pytest.mark.parametrize("message", [[REPORT, "nonsense"], [REPORT, 5], [REPORT, "owners", b""], [REPORT, "owners"]])
def test_what_cannot_be_asked_is_named(message: list[object]) -> None:
    reply = CLUSTER.ask("n1", message)
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert "expected" in reply[3]


def test_a_restarted_node_counts_warming_partitions() -> None:
    cluster = FakeCluster(3)
    cluster.kill("n2")
    cluster.restart("n2")
    cluster.run(0.1)
    assert cluster.ask("n2", [REPORT, "ready"])[2] == {
        "ready": True,
        "warming_partitions": 1024,
        "reason": None,
    }


def test_hints_are_listed_by_target_and_counted_by_end() -> None:
    cluster = FakeCluster(3)
    cluster.cut_link("n1", "n3")
    cluster.cut_link("n2", "n3")
    cluster.ask("n1", [SET, b"key", 1, b"value", 2, 100], 0.2)
    report = cluster.ask("n1", [REPORT, "hints"])[2]
    assert [(row["target"], row["hints"]) for row in report["targets"]] == [("n3", 1)]
    assert report["bytes"] > 0
    cluster.heal()
    cluster.run(7.0)
    report = cluster.ask("n1", [REPORT, "hints"])[2]
    assert report["targets"] == []
    assert report["ended"] == {"delivered": 1, "offered": 0, "superseded": 0, "expired": 0, "lost": 0}


def test_the_clock_is_told() -> None:
    CLUSTER.run(2.0)
    clock = CLUSTER.ask("n1", [REPORT, "statistics"])[2]["clock"]
    assert clock["trust"] == "safe"
    assert clock["peers_ahead_ms"] == {"n2": 0, "n3": 0}


def test_a_node_tells_what_only_it_knows() -> None:
    cluster = FakeCluster(3)
    cluster.ask("n1", [SET, b"key", 1, b"value", 4])
    report = cluster.ask("n1", [REPORT, "node"])[2]
    assert (report["node"], report["state"], report["wants"]) == ("n1", "normal", None)
    assert (report["ready"], report["drained"], report["clock"]) == (True, False, "safe")
    assert (report["owned_partitions"], report["stale_partitions"], report["entries"]) == (1024, 0, 1)
    assert 0 < report["entries_bytes"] <= report["used_bytes"] <= report["limit_bytes"]
    assert report["placement_digest"] == cluster.ask("n2", [REPORT, "node"])[2]["placement_digest"]


def test_the_member_table_can_be_asked_for() -> None:
    wire = CLUSTER.ask("n1", [REPORT, "table"])[2]["table"]
    assert MemberTable.from_wire(wire) == CLUSTER.nodes["n1"].members.table


def test_changes_transfers_and_repair_have_reports() -> None:
    change = CLUSTER.ask("n1", [REPORT, "change"])[2]
    assert (change["state"], change["departing_partitions"], change["removals"]) == ("normal", 0, {})
    assert CLUSTER.ask("n1", [REPORT, "handoff"])[2]["partitions_left"] == 0
    assert [row["node"] for row in CLUSTER.ask("n1", [REPORT, "repair"])[2]["peers"]] == ["n2", "n3"]


@pytest.mark.parametrize("topic", ["explain", "owners"])
def test_a_key_that_no_client_makes_is_refused(topic: str) -> None:
    cluster = FakeCluster(1)
    for key in (with_factor(qualify("web", b"key"), 7), qualify("web", b"key")[:5], b"\x00\x00"):
        assert cluster.ask("n1", [REPORT, topic, key])[0] == ERROR
    assert cluster.ask("n1", [REPORT, topic, qualify("web", b"key")])[0] == REPORTED
