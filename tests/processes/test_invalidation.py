"""Invalidation through the clients of a real cluster of three."""

import time

import pytest

import dynacache
from dynacache.types import MissReason
from tests.processes.nodes import HOST, Nodes, free_ports

pytestmark = pytest.mark.processes
WINDOW_S = 0.6


def test_what_is_invalidated_at_one_node_is_gone_at_all(nodes: Nodes) -> None:
    ports = free_ports(3)
    nodes.found(ports)
    clients = [dynacache.Client(f"{HOST}:{port}") for port in ports]
    cache, other, third = clients
    cache.set("red", 1, tags=["colour", "warm"], level="all")
    cache.set("blue", 2, tags=["colour"], level="all")
    cache.set("plain", 3, level="all")
    found = other.fetch("red")
    assert found.tags == (b"colour", b"warm")
    missed = other.fetch("loaded")
    assert other.invalidate_tag("warm", level="quorum")
    assert [each.get("red", level="quorum") for each in clients] == [None] * 3
    assert third.get("blue", level="quorum") == 2
    assert third.fetch("red", level="quorum").miss_reason in (MissReason.INVALIDATED, MissReason.NEVER_WRITTEN)
    assert not third.set("loaded", "stale", tags=["warm"], fill=missed.fill), "the fill was begun before"
    time.sleep(WINDOW_S)
    again = cache.fetch("loaded")
    assert cache.set("loaded", "fresh", tags=["warm"], fill=again.fill)
    assert other.get("loaded", level="quorum") == "fresh"
    with cache.pipeline() as pipeline:
        pipeline.invalidate_pattern("bl*")
        pipeline.invalidate("plain")
    assert pipeline.results[0] is True
    assert [other.get(key, level="quorum") for key in ("blue", "plain", "loaded")] == [None, None, "fresh"]
    web = cache.namespace("web")
    time.sleep(WINDOW_S)
    web.set("k", 1, level="all")
    assert third.namespace("web").flush(level="all")
    assert web.get("k", level="quorum") is None
    assert cache.get("loaded", level="quorum") == "fresh", "another namespace"
    version = cache.fetch("loaded").version
    assert version is not None
    cache.set("loaded", "newer")
    assert not other.invalidate_version("loaded", version)
    assert cache.get("loaded") == "newer"
    for each in clients:
        each.close()
