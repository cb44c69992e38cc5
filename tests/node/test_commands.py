"""Orders of an operator: checked as a whole, carried out once however often they come, refused with a sentence."""

from typing import Any

import pytest

from dynacache.errors import InvalidRequest, NotReady
from dynacache.wire.messages import COMMAND, ERROR, REPORT, REPORTED
from tests.fake_cluster import FakeCluster

CLUSTER = FakeCluster(3)
CLUSTER.run(3.0)


def order(cluster: FakeCluster, name: str, command: str, **arguments: Any) -> Any:
    return cluster.ask(name, [COMMAND, command, arguments])


def place(cluster: FakeCluster, name: str, by: str) -> str:
    rows = cluster.ask(by, [REPORT, "status"])[2]["members"]
    return str(next(row["place"] for row in rows if row["node"] == name))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ([COMMAND], "got None, expected one of drain, handoff_limit, join, leave, namespace_drop, "),
        ([COMMAND, "explode"], "got 'explode'"),
        ([COMMAND, 7], "got 7"),
        ([COMMAND, "join"], "join: expected the argument node"),
        ([COMMAND, "join", []], "expected a map of arguments"),
        ([COMMAND, "join", {"node": 7}], "node: got 7, expected str"),
        ([COMMAND, "join", {"node": "n1", "now": True}], "got the argument 'now', expected node"),
        ([COMMAND, "join", {"node": "n9"}], "got node 'n9', expected one of n1, n2, n3"),
        ([COMMAND, "join", {"node": "n2"}], "this is n1; the command for n2 belongs to n2:1"),
        ([COMMAND, "leave", {"node": "n3"}], "belongs to n3:1"),
        ([COMMAND, "drain", {"node": "n3"}], "belongs to n3:1"),
        ([COMMAND, "drain", {"node": "n1", "undo": 1}], "undo: got 1, expected bool"),
        ([COMMAND, "remove", {"node": "n9"}], "expected one of n1, n2, n3"),
        ([COMMAND, "remove", {"node": "n2"}], "only a dead or stopped member can be removed"),
        ([COMMAND, "repair", {"partitions": [1024]}], "got 1024, expected 0 to 1023"),
        ([COMMAND, "repair", {"partitions": ["a"]}], "got 'a', expected 0 to 1023"),
        ([COMMAND, "handoff_limit", {"bytes_per_s": 0}], "got 0, expected a number of bytes a second above 0"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(message: list[Any], said: str) -> None:
    before = CLUSTER.ask("n1", [REPORT, "change"])[2]
    reply = CLUSTER.ask("n1", message)
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert said in reply[3]
    assert CLUSTER.ask("n1", [REPORT, "change"])[2] == before


def test_a_node_joins_when_it_is_told_to_and_leaves_again() -> None:
    cluster = FakeCluster(3)
    cluster.join("n4")
    cluster.run(1.0)
    assert place(cluster, "n4", "n1") == "outside"
    begun = order(cluster, "n4", "join", node="n4")
    assert (begun[0], begun[2]["node"]) == (REPORTED, "n4")
    assert order(cluster, "n4", "join", node="n4")[0] == REPORTED, "again is as good as once"
    cluster.run(30.0)
    assert place(cluster, "n4", "n1") == "normal"
    assert order(cluster, "n4", "leave", node="n4")[0] == REPORTED
    cluster.run(60.0)
    assert "n4" in cluster.stopped, "after it has handed over it ends"
    assert place(cluster, "n4", "n1") == "left"


def test_a_dead_member_is_removed_through_any_other() -> None:
    cluster = FakeCluster(4)
    cluster.kill("n4")
    cluster.run(40.0)
    assert order(cluster, "n2", "remove", node="n4")[0] == REPORTED
    cluster.run(30.0)
    assert place(cluster, "n4", "n1") == "removed"


def test_a_member_that_was_not_heard_of_yet_is_not_removed() -> None:
    cluster = FakeCluster(3)
    reply = order(cluster, "n1", "remove", node="n3")
    assert (reply[0], reply[2]) == (ERROR, NotReady.code)
    assert "n1 has not heard of n3 yet" in reply[3]
    cluster.run(3.0)
    assert "n3 is alive" in order(cluster, "n1", "remove", node="n3")[3]


def test_repair_is_asked_of_all_or_of_some_partitions() -> None:
    cluster = FakeCluster(3)
    assert order(cluster, "n1", "repair")[2]["requested_partitions"] == 2 * 1024
    cluster.run(60.0)
    report = cluster.ask("n1", [REPORT, "repair"])[2]
    assert (report["requests"], report["requested_partitions"]) == (1, 0)
    assert order(cluster, "n1", "repair", partitions=[5, 9])[2]["requested_partitions"] == 2 * 2


def test_the_rate_of_transfers_is_changed() -> None:
    cluster = FakeCluster(3)
    assert order(cluster, "n1", "handoff_limit", bytes_per_s=1_000_000)[2]["limit_bytes_per_s"] == 1_000_000
    assert cluster.ask("n1", [REPORT, "handoff"])[2]["limit_bytes_per_s"] == 1_000_000


def test_orders_are_noted_and_a_stopping_node_takes_none() -> None:
    cluster = FakeCluster(3)
    order(cluster, "n1", "repair", partitions=[5, 9])
    noted = [note.fields for name, note in cluster.notes if note.event == "operator.command"]
    assert noted == [{"command": "repair", "partitions": 2}]
    cluster.nodes["n1"].closing.stop(cluster.now_s + 60.0)
    reply = order(cluster, "n1", "repair")
    assert (reply[0], reply[2]) == (ERROR, NotReady.code)
