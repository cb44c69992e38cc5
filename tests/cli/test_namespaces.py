"""Namespaces of a whole cluster, on real node cores in virtual time."""

from typing import Any

import pytest

from dynacache.cli import namespaces
from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import qualify
from dynacache.wire.messages import SET
from tests.cli.core_client import CoreClient


def test_what_is_set_at_any_member_is_listed_and_shown(cores: CoreClient) -> None:
    options = namespaces.options_of({"default_ttl": 90.0, "sliding": True, "mode": None})
    answer = namespaces.change(cores, "web", options, None, "all")
    assert answer.text.startswith("web: default_ttl 90 s, sliding yes (version ")
    cores.cluster.ask("n2", [SET, qualify("shop", b"a"), 1, b"value", 4])
    cores.cluster.ask("n2", [SET, b"plain", 1, b"value", 4])
    listed = namespaces.listed(cores)
    assert [row[:2] for row in listed.tables[0].rows] == [(".", 3), ("shop", 3), ("web", 0)]
    assert listed.tables[0].rows[2][3] == "default_ttl 90 s, sliding yes"
    assert listed.record["silent"] == {}
    shown = namespaces.show(cores, "web")
    assert (shown.exit_code, shown.record["settings"]["default_ttl_ms"]) == (0, 90_000)
    assert ("default_ttl", "90 s", "none") in shown.tables[0].rows
    assert ("compression", "none", "none") in shown.tables[0].rows
    assert ("replication_factor", "as the cluster", "as the cluster") in shown.tables[0].rows
    assert [row[0] for row in shown.tables[1].rows] == ["n1", "n2", "n3"]
    shop = namespaces.show(cores, "shop")
    assert (shop.exit_code, shop.record["entries"]) == (0, 3)


def test_a_version_that_is_not_in_force_is_refused(cores: CoreClient) -> None:
    version = namespaces.change(cores, ".", {"sliding": True}, None, "quorum").record["version"]
    with pytest.raises(InvalidRequest, match=f"expected {version}"):
        namespaces.change(cores, ".", {"key_events": True}, version - 1, "quorum")
    dropped = namespaces.drop(cores, ".", version, "quorum")
    assert dropped.text.startswith(".: defaults (version ")
    assert dropped.text.endswith("; what it held is invalidated")


def test_who_is_behind_or_silent_is_named(cores: CoreClient) -> None:
    cores.cluster.cut_link("n1", "n3")
    cores.cluster.cut_link("n2", "n3")
    namespaces.change(cores, "web", {"sliding": True}, None, "quorum")
    listed = namespaces.listed(cores)
    assert "web: these settings have not reached n3 yet" in listed.remarks
    assert "these settings have not reached n3 yet" in namespaces.show(cores, "web").remarks
    cores.cluster.kill("n3")
    assert "n3" in namespaces.listed(cores).record["silent"]


def test_a_namespace_that_nobody_knows_is_not_found(cores: CoreClient) -> None:
    answer = namespaces.show(cores, "nobody")
    assert answer.exit_code == 3
    assert "nobody has set anything for namespace nobody" in answer.complaint


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"default_ttl": 1.5, "maximum_ttl": None}, {"default_ttl_ms": 1_500}),
        ({"maximum_ttl": 0.0, "sliding": False}, {"maximum_ttl_ms": 0, "sliding": False}),
    ],
)
def test_options(given: dict[str, Any], options: dict[str, Any]) -> None:
    assert namespaces.options_of(given) == options


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_spans_that_are_none(seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="--maximum-ttl: got"):
        namespaces.options_of({"maximum_ttl": seconds})


def test_names_on_a_command_line() -> None:
    assert (namespaces.name_of("."), namespaces.name_of("web")) == ("", "web")
    for name in ("", "Web", ".x"):
        with pytest.raises(InvalidRequest, match="namespace: got"):
            namespaces.name_of(name)


def test_an_order_without_settings_is_refused(cores: CoreClient) -> None:
    with pytest.raises(InvalidRequest, match="expected at least one"):
        namespaces.change(cores, "web", {}, None, "quorum")
