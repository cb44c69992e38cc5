"""The commands: tables for people, one JSON object for programs."""

import json
from pathlib import Path
from typing import Any

import cyclopts
import pytest

from sim.studies import PAPERS, register


def run(text: str) -> Any:
    """Run a command line; its exit code."""
    app = cyclopts.App(name="sim")
    register(app)
    return app(text, result_action="return_value", exit_on_error=False)


def test_membership_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("membership --nodes 6 --nodes 8 --lives 1 --output json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [size["nodes"] for size in found["sizes"]] == [6, 8]
    assert all(size["virtual_s"] == pytest.approx(120.0) and size["real_s"] > 0 for size in found["sizes"])
    assert len(found["papers"]) == len(PAPERS)


def test_membership_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    run("membership --nodes 6 --lives 1")
    shown = capsys.readouterr().out
    assert "6 nodes" in shown
    assert "dead in all views p50 / p99" in shown
    assert "probes and answers / rumours alone, at rest" in shown
    assert "datagrams a node for one crash, beyond rest" in shown
    assert "Lifeguard" in shown


def test_capacity_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("capacity --nodes 5 --operations 32 --read-level one --output json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [plan["nodes"] for plan in found["plans"]] == [
        5,
        max(found["nodes_by_memory"], found["nodes_by_core_batched"]),
    ]
    assert [costs["batch"] for costs in found["costs"]] == [1, 16]
    assert found["costs"][0]["read"]["messages"] == 0
    assert found["entry_overhead_bytes"] > 50


def test_capacity_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    run("capacity --operations 32")
    shown = capsys.readouterr().out
    assert "measured, per operation" in shown
    assert "one node lost: hints a second" in shown
    assert "1 TB of distinct data takes" in shown


def test_staleness_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("staleness --r 1 --w 1 --trials 500 --output json") == 0
    (level,) = json.loads(capsys.readouterr().out)["levels"]
    assert (level["r"], level["w"], level["real_nodes_at_0"]) == (1, 1, None)
    assert level["stale_at"][0] > 0.5


def test_staleness_as_a_table_with_a_plot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run(f"staleness --trials 500 --plot {tmp_path / 'stale.png'}")
    shown = capsys.readouterr().out
    assert "99.9 % fresh after" in shown
    assert "drawn:" in shown
    assert (tmp_path / "stale.png").read_bytes().startswith(b"\x89PNG")


def test_a_check_needs_three_owners() -> None:
    with pytest.raises(ValueError, match="--check: real nodes are run with --n 3 --way owner only"):
        run("staleness --n 5 --check --trials 500")
