"""`dynacache demo` with real nodes: a crash and a restart under load, and nothing of it left behind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dynacache.cli.processes import child_environment

pytestmark = pytest.mark.processes
EXCERPT = Path(__file__).parent.parent / "data" / "web07-excerpt.txt.xz"


def demo(tmp_path: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Run the demo with its temporary folders in `tmp_path`; return its figures and what it printed."""
    command = [sys.executable, "-m", "dynacache", "demo", "--nodes", "3", "--seconds", "6", "--rate", "300"]
    environment = child_environment() | {"TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        [*command, "--json", str(tmp_path / "out.json"), *options],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures: dict[str, Any] = json.loads((tmp_path / "out.json").read_text())
    return figures, ran.stdout


@pytest.mark.parametrize("options", [(), ("--trace", str(EXCERPT))], ids=["zipf", "trace"])
def test_nothing_fails_and_nothing_is_lost(tmp_path: Path, options: tuple[str, ...]) -> None:
    figures, shown = demo(tmp_path, *options)
    for name in ("failed", "unknown", "lost_acknowledged_writes", "evicted", "wrong_values", "foreign_values"):
        assert figures[name] == 0, (name, shown)
    assert figures["availability"] == 1.0
    assert figures["killed_at_s"] < figures["restarted_at_s"] < 6
    assert figures["requests"] > 1000
    assert figures["acknowledged_writes"] >= figures["keys_read_back"] > 100
    assert 0 < figures["hit_ratio"] < 1
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert "SIGKILL" in shown
    assert "one node killed" in shown
    assert "VERDICT: nothing failed, nothing was lost" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
