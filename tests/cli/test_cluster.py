"""Reports of a node, as commands show them."""

from typing import Any

import pytest

from dynacache.cli import cluster
from dynacache.errors import NotReady
from tests.cli.fakes import FakeClient

MEMBER = {"node": "a", "address": "127.0.0.1:1", "state": "alive", "place": "normal", "zone": "", "weight": 1}
MEMBER |= {"partitions": 1024, "linked": True, "hints": 0}
STATUS: dict[str, Any] = {"node": "a", "cluster": "00ff", "partition_count": 1024, "replication_factor": 3}
STATUS |= {"members": [MEMBER, {"node": "b", "state": "dead"}], "ready": True, "warming_partitions": 2}


def test_status_shows_each_member() -> None:
    answer = cluster.status(FakeClient(reports={"status": STATUS}), "a:1")
    assert answer.record == STATUS
    first, second = answer.tables[0].rows
    assert first == ("a", "127.0.0.1:1", "alive", "normal", "-", 1, 1024, "yes", 0)
    assert second[0] == "b"
    assert second[2] == "dead"
    assert "2 members" in answer.tables[0].title
    assert "2 of its partitions warming" in answer.tables[0].title
    alone = cluster.status(FakeClient(reports={"status": STATUS | {"members": [MEMBER]}}))
    assert "1 member," in alone.tables[0].title


def test_owners_come_before_fallbacks() -> None:
    client = FakeClient(reports={"owners": {"partition": 9, "owners": ["b", "a"], "fallbacks": ["c"]}})
    answer = cluster.owners(client, "key")
    assert answer.tables[0].rows == (("b", "owner"), ("a", "owner"), ("c", "fallback"))
    assert answer.record == {"key": "key", "partition": 9, "owners": ["b", "a"], "fallbacks": ["c"]}


@pytest.mark.parametrize(
    ("client", "code"),
    [
        (FakeClient(reports={"ready": {"ready": True, "warming_partitions": 3}}), 0),
        (FakeClient(reports={"ready": {"ready": False, "warming_partitions": 0}}), 4),
        (FakeClient(errors={"report": NotReady("waiting for founders")}), 4),
    ],
)
def test_ready_is_an_exit_code(client: FakeClient, code: int) -> None:
    answer = cluster.ready(client, "a:1")
    assert answer.exit_code == code
    assert answer.record["ready"] is (code == 0)
    assert bool(answer.complaint) is (code != 0)
    assert client.calls == [("report", "ready", "a:1")]
