"""Namespaces on real processes: settings made at one node act at every other, for clients, values and commands."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dynacache
from dynacache.errors import InvalidRequest
from tests.processes.nodes import HOST, Nodes, free_ports, until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


def command(port: int, *arguments: str) -> tuple[int, Any]:
    """Run one command line against one node; its exit code and what it said as JSON."""
    line = [sys.executable, "-m", "dynacache", *arguments, "--server", f"{HOST}:{port}", "--output", "json"]
    ran = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else ran.stderr


def test_settings_made_at_one_node_act_at_another(nodes: Nodes) -> None:
    ports = free_ports(3)
    processes = nodes.found(ports)
    code, told = command(
        *(ports[0], "namespaces", "set", "web", "--default-ttl", "60", "--maximum-ttl", "120"),
        *("--compression", "zstandard", "--level", "all"),
    )
    assert (code, told["settings"]["default_ttl_ms"]) == (0, 60_000)
    with dynacache.Client(f"{HOST}:{ports[2]}") as client:
        web = client.namespace("web")
        blob = b"text " * 50_000
        assert web.set("k", blob)
        assert client.set("k", "plain")
        assert (web.get("k"), client.get("k")) == (blob, "plain")
        left = web.ttl("k")
        assert left is not None
        assert 50 < left <= 61
        assert client.ttl("k") is None
        assert web.set("ever", 1, ttl=math.inf)
        left = web.ttl("ever")
        assert left is not None
        assert 110 < left <= 121
        held = web.settings()
        assert held["settings"]["maximum_ttl_ms"] == 120_000
        with pytest.raises(InvalidRequest, match="changed meanwhile"):
            web.configure({"key_events": True}, version=held["version"] - 1)
        changed = web.configure({"key_events": True}, version=held["version"])
        assert changed["settings"]["default_ttl_ms"] == 60_000

        def counted() -> bool:
            code, listed = command(ports[1], "namespaces", "list")
            row = next(row for row in listed["namespaces"] if row["name"] == "web")
            # Three copies of a value of 250 kB, compressed.
            return code == 0 and row["entries"] == 6 and 0 < row["bytes"] < 30_000 and row["settings"]["key_events"]

        until(counted, 10.0, "every copy is counted")
        assert command(ports[1], "get", "ever", "--namespace", "web")[1]["value"] == 1
        assert command(ports[1], "get", "ever")[0] == 3
        code, refused = command(ports[1], "namespaces", "set", "web", "--replication-factor", "2")
        assert code == 2
        assert "replication_factor: got 2, expected 0: it is chosen with a namespace's first setting" in refused
        code, chosen = command(ports[0], "namespaces", "set", "single", "--replication-factor", "1")
        assert (code, chosen["settings"]["replication_factor"]) == (0, 1)
        assert command(ports[2], "set", "alone", "here", "--namespace", "single")[0] == 0
        assert command(ports[1], "get", "alone", "--namespace", "single")[1]["value"] == "here"
        code, told = command(ports[1], "cluster", "owners", "alone", "--namespace", "single")
        assert code == 0
        assert len(told["owners"]) == 1

    processes[1].kill()
    processes[1] = nodes.start(ports[1], "--founders", "3", "--seed", f"{HOST}:{ports[0]}")
    nodes.agree(processes)

    def knows() -> bool:
        report = processes[1].report("namespaces")
        rows = [row for row in (report or {}).get("namespaces", ()) if row["name"] == "web"]
        return bool(rows) and rows[0]["settings"]["maximum_ttl_ms"] == 120_000

    until(knows, 10.0, "a node that lost its memory knows the settings again")
