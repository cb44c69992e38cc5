"""Plans: what would move, beside what must, with nothing changed."""

from typing import Any

import pytest

from dynacache.cli.planning import Wanted, plan
from dynacache.errors import InvalidOption, InvalidRequest
from tests.cli.core_client import CoreClient


def shares(record: Any) -> dict[str, tuple[int, int, int, int]]:
    return {row["node"]: (row["before"], row["after"], row["gained"], row["lost"]) for row in record["nodes"]}


def test_a_join_is_told_before_it_is_done(cores: CoreClient) -> None:
    cores.cluster.join("n4")
    cores.pause(3.0)
    before = cores.cluster.nodes["n1"].members.table
    answer = plan(cores, Wanted(join=("n4",)))
    assert cores.cluster.nodes["n1"].members.table == before
    record = answer.record
    gained = shares(record)["n4"][2]
    assert shares(record)["n4"] == (0, gained, gained, 0)
    assert record["moved_copies"] == gained == sum(row["lost"] for row in record["nodes"])
    assert record["all_copies"] == 3 * 1024
    assert record["ideal_moved_copies"] == 768
    assert record["moved_over_ideal"] == pytest.approx(gained / 768)
    assert "nothing is changed" in answer.tables[0].title
    assert any("by weight 768 must move, this is " in remark for remark in answer.remarks)


def test_bytes_are_estimated_by_what_the_members_hold(cores: CoreClient) -> None:
    cores.cluster.join("n4")
    cores.pause(3.0)
    record = plan(cores, Wanted(join=("n4",))).record
    nodes = [cores.cluster.nodes[name].engine.statistics().usage.entries_bytes for name in ("n1", "n2", "n3")]
    assert record["moved_bytes"] == round(record["moved_copies"] * sum(nodes) / 3072)
    rows = {row["node"]: row for row in record["nodes"]}
    assert rows["n4"]["bytes_in"] == record["moved_bytes"]


def test_a_node_that_nobody_knows_may_be_planned_with_zone_and_weight(cores: CoreClient) -> None:
    light = plan(cores, Wanted(join=("new",), weight=1)).record
    heavy = plan(cores, Wanted(join=("new",), weight=3)).record
    assert shares(heavy)["new"][1] > shares(light)["new"][1]


def test_several_changes_at_once(cores: CoreClient) -> None:
    record = plan(cores, Wanted(join=("n4", "n5"), leave=("n1",))).record
    assert [change["change"] for change in record["changes"]] == ["join", "join", "leave"]
    assert shares(record)["n1"][1] == 0


def test_too_few_members_are_told(cores: CoreClient) -> None:
    answer = plan(cores, Wanted(remove=("n3",)))
    assert any("fewer copies" in remark for remark in answer.remarks)
    assert not any("must move" in remark for remark in answer.remarks)


def test_what_cannot_be_is_refused(cores: CoreClient) -> None:
    with pytest.raises(InvalidOption, match="got no change"):
        plan(cores, Wanted())
    assert cores.calls == []
    with pytest.raises(InvalidRequest, match="n1 is a member already"):
        plan(cores, Wanted(join=("n1",)))
    with pytest.raises(InvalidRequest, match="expected one of n1, n2, n3"):
        plan(cores, Wanted(leave=("n9",)))
