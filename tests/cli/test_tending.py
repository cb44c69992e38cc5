"""Repair, hints and transfers of a whole cluster, on real node cores in virtual time."""

import pytest

from dynacache.cli import tending
from dynacache.errors import InvalidRequest
from dynacache.wire.messages import SET
from tests.cli.core_client import CoreClient


def test_repair_is_begun_everywhere_and_watched(cores: CoreClient, capsys: pytest.CaptureFixture[str]) -> None:
    answer = tending.repair_start(cores, (), wait=True)
    assert (answer.exit_code, answer.complaint) == (0, "")
    assert answer.record == {"reached": ["n1", "n2", "n3"], "missed": {}}
    assert answer.text.splitlines()[0] == "n1: compared all partitions"
    assert capsys.readouterr().err.endswith("repair: all compared\n")
    reports = [cores.report("repair", address=f"{name}:1") for name in ("n1", "n2", "n3")]
    assert [report["requested_partitions"] for report in reports] == [0, 0, 0]
    assert [report["requests"] for report in reports] == [1, 1, 1]


def test_repair_of_one_partition(cores: CoreClient) -> None:
    tending.repair_start(cores, (7,), wait=False)
    assert cores.report("repair")["requested_partitions"] == 2
    with pytest.raises(InvalidRequest, match="--partition: got 1024, expected 0 to 1023"):
        tending.repair_start(cores, (7, 1024), wait=False)


def test_who_is_not_reached_is_named_and_is_an_exit_code(cores: CoreClient) -> None:
    cores.cluster.kill("n3")
    answer = tending.repair_start(cores, (), wait=True)
    assert answer.exit_code == 4
    assert answer.complaint.startswith("n3 was not reached: ")
    assert answer.record["reached"] == ["n1", "n2"]


def test_repair_status_has_a_row_for_each_two_owners(cores: CoreClient) -> None:
    cores.pause(30.0)
    answer = tending.repair_status(cores)
    assert [row[:3] for row in answer.tables[0].rows] == [
        (node, other, 1024) for node in ("n1", "n2", "n3") for other in ("n1", "n2", "n3") if node != other
    ]
    assert all(" ago" in str(row[7]) for row in answer.tables[0].rows)
    cores.cluster.kill("n2")
    answer = tending.repair_status(cores)
    assert "n2: n2:1: connection refused" in answer.remarks
    assert "error" in answer.record["nodes"]["n2"]


def test_hints_are_listed_by_holder_and_target(cores: CoreClient) -> None:
    cores.cluster.cut_link("n1", "n3")
    cores.cluster.ask("n1", [SET, b"key", 1, b"value", 2, 100], 0.3)
    answer = tending.hints_list(cores)
    ((holder, target, count, *_, next_replay),) = answer.tables[0].rows
    assert (holder, target, count, next_replay) == ("n1", "n3", 1, "away")
    cores.cluster.heal()
    cores.pause(20.0)
    answer = tending.hints_list(cores)
    assert answer.tables[0].rows == ()
    assert answer.record["ended"]["delivered"] + answer.record["ended"]["superseded"] == 1
    assert answer.remarks[0].startswith("ended so far: ")


def test_transfers_are_shown_and_limited(cores: CoreClient) -> None:
    cores.cluster.kill("n2")
    cores.cluster.restart("n2")
    cores.pause(0.5)
    rows = {row[0]: row for row in tending.handoff_status(cores).tables[0].rows}
    assert (rows["n1"][1], rows["n2"][1]) == (0, 1024)
    answer = tending.handoff_limit(cores, 1_000_000, ("n2",))
    assert answer.record["reached"] == ["n2"]
    assert tending.handoff_limit(cores, 2_000_000, ()).record["reached"] == ["n1", "n2", "n3"]
    assert {row[6] for row in tending.handoff_status(cores).tables[0].rows} == {"1.9 MiB/s"}
    with pytest.raises(InvalidRequest, match="handoff limit: got 'n9'"):
        tending.handoff_limit(cores, 1, ("n9",))
