"""Reports of a node, as commands show them."""

from typing import Any

import attrs
import pytest

from dynacache.cli import changing, cluster
from dynacache.errors import NotReady
from tests.cli.core_client import CoreClient
from tests.cli.fakes import FakeClient

MEMBER = {"node": "a", "address": "127.0.0.1:1", "state": "alive", "place": "normal", "zone": "", "weight": 1}
MEMBER |= {"partitions": 1024, "linked": True, "hints": 0}
STATUS: dict[str, Any] = {"node": "a", "cluster": "00ff", "partition_count": 1024, "replication_factor": 3}
STATUS |= {"members": [MEMBER, {"node": "b", "state": "dead"}], "ready": True, "warming_partitions": 2}


def test_status_shows_what_one_node_sees_and_what_each_tells_of_itself(cores: CoreClient) -> None:
    cores.cluster.kill("n3")
    cores.cluster.restart("n3")
    cores.pause(1.0)
    answer = cluster.status(cores, "n2:1")
    rows = {row[0]: row for row in answer.tables[0].rows}
    assert rows["n1"] == ("n1", "n1:1", "alive", "normal", "-", 1, 1024, 0, 0, "yes", 0, "-")
    assert rows["n3"][7] == 1024, "only n3 knows that it is warming"
    assert "as n2 sees it: 3 members, 1024 partitions, 3 copies" in answer.tables[0].title
    assert answer.record["node"] == "n2"
    assert answer.record["nodes"]["n3"]["warming_partitions"] == 1024
    assert answer.remarks == ()


def test_status_names_who_does_not_answer_and_who_does_not_serve(cores: CoreClient) -> None:
    cores.command("drain", {"node": "n2"}, address="n2:1")
    cores.cluster.kill("n3")
    rows = {row[0]: row for row in cluster.status(cores).tables[0].rows}
    assert rows["n2"][-1] == "drained"
    assert rows["n3"][-1] == "n3:1: connection refused"
    cores.pause(40.0)
    rows = {row[0]: row for row in cluster.status(cores).tables[0].rows}
    assert (rows["n3"][2], rows["n3"][-1]) == ("dead", "dead, not asked")


def test_status_tells_of_changes_removals_and_zones(cores: CoreClient) -> None:
    cores.cluster.join("n4")
    cores.pause(3.0)
    cores.command("join", {"node": "n4"}, address="n4:1")
    answer = cluster.status(cores)
    assert answer.remarks == ("n4 is outside, asked to be joining",)
    while not (remarks := cluster.status(cores).remarks) or "outside" in remarks[0]:
        cores.pause(0.05)
    assert remarks[0].startswith("n4 is joining; it waits for ")
    changed = FakeClient(
        reports={
            "status": STATUS | {"zone_violations": 3},
            "node": {"node": "a", "removals": {"b": "normal"}, "reason": "the node's clock is in doubt"},
        }
    )
    answer = cluster.status(changed)
    assert answer.tables[0].rows[0][-1] == "clock is in doubt"
    assert answer.remarks[0] == "b is being removed"
    assert answer.remarks[1].startswith("zones: 3 partitions with more copies in one zone")


@attrs.define
class Disagreeing(FakeClient):
    """Two members that hold different tables."""

    def report(
        self, topic: str, argument: Any = None, *, address: str | None = None, timeout: float | None = None
    ) -> Any:
        rows = [MEMBER | {"node": name, "address": f"{name}:1"} for name in ("a", "b")]
        return STATUS | {"members": rows} if topic == "status" else {"placement_digest": ord(str(address)[0])}


def test_status_tells_when_members_disagree_on_the_owners() -> None:
    answer = cluster.status(Disagreeing())
    assert [row[-1] for row in answer.tables[0].rows] == ["owners 0061", "owners 0062"]
    assert "do not agree on the owners yet" in answer.remarks[0]


def test_who_has_left_is_in_the_table_and_not_in_the_status(cores: CoreClient) -> None:
    cores.cluster.join("n4")
    cores.pause(3.0)
    changing.join(cores, "n4", wait=True)
    changing.leave(cores, "n4", wait=True)
    assert [row[0] for row in cluster.status(cores).tables[0].rows] == ["n1", "n2", "n3"]
    answer = cluster.members(cores, "n1:1")
    assert [(row[0], row[2], row[5]) for row in answer.tables[0].rows][3] == ("n4", "left", "no")
    assert answer.record["members"][0]["address"] == "n1:1"
    assert "the member table of n1" in answer.tables[0].title


def test_owners_come_before_fallbacks() -> None:
    client = FakeClient(reports={"owners": {"partition": 9, "owners": ["b", "a"], "fallbacks": ["c"]}})
    answer = cluster.owners(client, "key")
    assert answer.tables[0].rows == (("b", "owner"), ("a", "owner"), ("c", "fallback"))
    assert answer.record == {"key": "key", "partition": 9, "owners": ["b", "a"], "fallbacks": ["c"]}


@pytest.mark.parametrize(
    ("client", "complete", "code"),
    [
        (FakeClient(reports={"ready": {"ready": True, "warming_partitions": 3}}), False, 0),
        (FakeClient(reports={"ready": {"ready": True, "warming_partitions": 3}}), True, 4),
        (FakeClient(reports={"ready": {"ready": True, "warming_partitions": 0}}), True, 0),
        (FakeClient(reports={"ready": {"ready": False, "warming_partitions": 0, "reason": "drained"}}), False, 4),
        (FakeClient(errors={"report": NotReady("waiting for founders")}), False, 4),
    ],
)
def test_ready_is_an_exit_code(client: FakeClient, complete: bool, code: int) -> None:
    answer = cluster.ready(client, "a:1", complete)
    assert answer.exit_code == code
    assert bool(answer.complaint) is (code != 0)
    assert client.calls == [("report", "ready", "a:1")]


def test_ready_says_why_not() -> None:
    client = FakeClient(reports={"ready": {"ready": False, "reason": "the node is drained"}})
    assert cluster.ready(client).complaint == "not ready: the node is drained"
    warming = FakeClient(reports={"ready": {"ready": True, "warming_partitions": 3}})
    assert cluster.ready(warming, complete=True).complaint == "not ready: 3 partitions warming"
    assert cluster.ready(warming, complete=True).record["ready"] is True
