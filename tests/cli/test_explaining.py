"""What a key's owners tell of it, joined: on real node cores in virtual time."""

import pytest

from dynacache.cli.explaining import explain
from dynacache.cli.output import Answer
from dynacache.types import Level
from dynacache.wire.messages import DELETE, GET, SET
from tests.cli.core_client import CoreClient, acquainted

RAW = 1


def row(answer: Answer, node: str) -> tuple[object, ...]:
    return next(each for each in answer.tables[0].rows if each[0] == node)


def write(cores: CoreClient, node: str = "n1", level: int = Level.ALL, ttl_ms: int = 0) -> None:
    cores.cluster.ask(node, [SET, b"key", RAW, b"value", level, 500, ttl_ms], 0.6)


def test_a_value_that_is_everywhere_the_same(cores: CoreClient) -> None:
    write(cores, ttl_ms=60_000)
    answer = explain(cores, "key")
    assert answer.exit_code == 0
    assert [each[1] for each in answer.tables[0].rows] == ["owner"] * 3
    assert {each[2] for each in answer.tables[0].rows} == {"value, 5 bytes"}
    clocks = {str(each[3]) for each in answer.tables[0].rows}
    assert len(clocks) == 1
    assert clocks.pop().startswith("n"), "an actor has the name of the node whose process it is"
    assert all(str(each[5]).startswith("in ") for each in answer.tables[0].rows)
    assert "now: a value, the same on every owner that answered" in answer.remarks
    assert answer.remarks[-1] == "last miss: none remembered"


def test_a_node_that_lacks_it_and_the_hint_that_waits(cores: CoreClient) -> None:
    cores.cluster.cut_link("n1", "n3")
    cores.cluster.cut_link("n2", "n3")
    write(cores, level=Level.QUORUM)
    answer = explain(cores, "key")
    assert row(answer, "n3")[2] == "none"
    assert str(row(answer, "n3")[8]).startswith("n1 (")
    assert answer.record["hints"][0]["holder"] == "n1"
    assert any("n1 holds a hint for n3" in remark for remark in answer.remarks)
    assert any("n1, n2 of 3 owners hold a value" in remark or "n2, n1 of 3" in remark for remark in answer.remarks)


def test_a_delete_and_the_miss_that_followed(cores: CoreClient) -> None:
    write(cores)
    cores.cluster.ask("n1", [DELETE, b"key", Level.ALL])
    cores.pause(2.0)
    cores.cluster.ask("n2", [GET, b"key", Level.QUORUM])
    answer = explain(cores, "key")
    assert str(row(answer, "n2")[2]).startswith("tombstone, 2.")
    assert "now: deleted" in answer.record["verdict"]
    assert answer.record["last_miss"]["reason"] == "deleted"
    assert answer.record["last_miss"]["coordinator"] == "n2"
    assert "through n2 at level quorum: deleted" in answer.remarks[-1]


def test_an_expired_value(cores: CoreClient) -> None:
    write(cores, ttl_ms=1_000)
    cores.pause(0.6)
    answer = explain(cores, "key")
    assert {each[2] for each in answer.tables[0].rows} == {"expired"}
    assert all(str(each[5]).endswith(" ago") for each in answer.tables[0].rows)
    assert answer.record["verdict"].startswith("now: expired on n")


def test_an_eviction(cores: CoreClient) -> None:
    write(cores)
    for node in cores.cluster.nodes.values():
        node.engine.set_limit(node.engine.usage().total_bytes - 1)
        node.engine.collect(node.engine._now_ms)
    answer = explain(cores, "key")
    assert str(row(answer, "n1")[2]).startswith("evicted (a version of 2023-")
    assert "now: evicted for want of memory" in answer.record["verdict"]


def test_what_went_without_a_trace_is_told(cores: CoreClient) -> None:
    write(cores, ttl_ms=1_000)
    cores.pause(4.0)
    for node in cores.cluster.nodes.values():
        node.engine.collect(node.shared.now_ms)
    answer = explain(cores, "key")
    assert {each[2] for each in answer.tables[0].rows} == {"none (expired)"}
    assert answer.record["verdict"].startswith("now: expired and gone, as n")


def test_a_key_that_nobody_knows(cores: CoreClient) -> None:
    assert "never written" in explain(cores, "nothing").record["verdict"]


def test_concurrent_versions_have_different_clocks_until_they_meet(cores: CoreClient) -> None:
    cores.cluster.cut_link("n1", "n2")
    cores.cluster.cut_link("n1", "n3")
    cores.cluster.cut_link("n2", "n3")
    write(cores, "n1", Level.ONE)
    write(cores, "n2", Level.ONE)
    answer = explain(cores, "key")
    assert row(answer, "n1")[3] != row(answer, "n2")[3]
    assert "with different clocks" in answer.record["verdict"]


def test_an_owner_that_is_silent_has_its_row(cores: CoreClient) -> None:
    write(cores)
    cores.cluster.kill("n2")
    answer = explain(cores, "key")
    assert row(answer, "n2")[:3] == ("n2", "owner", "n2:1: connection refused")
    assert "n2 did not answer" in answer.record["verdict"]
    assert answer.exit_code == 0


def test_a_warming_copy_says_so(cores: CoreClient) -> None:
    write(cores)
    cores.cluster.kill("n2")
    cores.cluster.restart("n2")
    cores.pause(0.2)
    answer = explain(cores, "key")
    assert row(answer, "n2")[6] == "warming"
    assert "n2 incomplete" in answer.record["verdict"]


def test_members_that_hold_nothing_are_counted(cores: CoreClient) -> None:
    five = CoreClient(cluster=acquainted(5))
    write(five)
    answer = explain(five, "key")
    assert len(answer.tables[0].rows) == 3
    assert "nothing of it at 2 other members" in answer.remarks
    assert len(answer.record["owners"]) == 3
    assert len(answer.record["fallbacks"]) == 2


@pytest.mark.parametrize("owners_left", [0, 1])
def test_without_any_owner_it_is_an_exit_code(owners_left: int) -> None:
    five = CoreClient(cluster=acquainted(5))
    owners = five.owners("key")["owners"]
    for owner in owners[owners_left:]:
        five.cluster.kill(owner)
    answer = explain(five, "key")
    assert answer.exit_code == (0 if owners_left else 4)
    assert bool(answer.complaint) is (not owners_left)
