"""Namespaces in whole nodes: settings made at one act at every other; requests get what their namespace says."""

from typing import Any

import pytest

from dynacache.errors import InvalidRequest, TimedOut
from dynacache.namespaces.names import qualify
from dynacache.types import Level
from dynacache.versioning.layout import MANY
from dynacache.wire.messages import (
    COMMAND,
    DONE,
    ERROR,
    FLAG_METADATA,
    FLAG_RECEIPT,
    GET,
    INCREMENT,
    MISS,
    NUMBER,
    REPORT,
    REPORTED,
    SET,
    TOPOLOGY,
    TOUCH,
    VALUE,
)
from tests.fake_cluster import WALL_MS, FakeCluster

RAW = 1
KEY = qualify("web", b"user:7")


def cluster_of(count: int = 3) -> FakeCluster:
    cluster = FakeCluster(count)
    cluster.run(3.0)
    return cluster


def order(cluster: FakeCluster, at: str, what: str, wait_s: float = 0.2, **arguments: Any) -> Any:
    return cluster.ask(at, [COMMAND, what, arguments], wait_s)


def set_up(cluster: FakeCluster, name: str = "web", at: str = "n1", **options: Any) -> Any:
    reply = order(cluster, at, "namespace_set", name=name, options=options)
    assert reply[0] == REPORTED, reply
    cluster.run(0.1)
    return reply[2]


def lifetime_ms(cluster: FakeCluster, at: str, key: bytes) -> int | None:
    """The milliseconds that a key has left, 0 for ever, None for no key."""
    reply = cluster.ask(at, [GET, key, Level.QUORUM, 0, FLAG_METADATA])
    if reply[0] != VALUE:
        return None
    expire_ms = int(reply[4]["e"])
    return expire_ms and expire_ms - WALL_MS - int(cluster.now_s * 1000)


def level_of(reply: Any) -> int:
    return int(reply[-1]["r"]["level"])


def test_settings_made_at_one_node_act_at_every_other() -> None:
    cluster = cluster_of()
    told = set_up(cluster, default_ttl_ms=10_000)
    assert (told["name"], told["settings"]["default_ttl_ms"], told["is_set"]) == ("web", 10_000, True)
    for at in ("n1", "n2", "n3"):
        key = qualify("web", at.encode())
        assert cluster.ask(at, [SET, key, RAW, b"value"])[0] == DONE
        left = lifetime_ms(cluster, at, key)
        assert left is not None
        assert 9_000 < left <= 10_000
        assert cluster.ask(at, [SET, at.encode(), RAW, b"value"])[0] == DONE
        assert lifetime_ms(cluster, at, at.encode()) == 0


@pytest.mark.parametrize(
    ("asked_ms", "least_ms", "most_ms"), [(0, 4_000, 5_000), (-1, 7_000, 8_000), (60_000, 7_000, 8_000)]
)
def test_times_to_live_are_bounded_in_every_operation(asked_ms: int, least_ms: int, most_ms: int) -> None:
    cluster = cluster_of()
    set_up(cluster, default_ttl_ms=5_000, maximum_ttl_ms=8_000)
    conditional = [SET, KEY + b"2", RAW, b"value", 0, 0, asked_ms, 0, 1]
    for message in ([SET, KEY, RAW, b"value", 0, 0, asked_ms], conditional):
        assert cluster.ask("n1", list(message))[0] == DONE
    assert cluster.ask("n1", [INCREMENT, KEY + b"3", 1, 0, 0, asked_ms])[0] == NUMBER
    assert cluster.ask("n1", [SET, KEY + b"4", RAW, b"value", 0, 0, 1_000])[0] == DONE
    assert cluster.ask("n1", [TOUCH, KEY + b"4", asked_ms])[0] == DONE
    for key in (KEY, KEY + b"2", KEY + b"3", KEY + b"4"):
        left = lifetime_ms(cluster, "n1", key)
        assert left is not None
        assert least_ms < left + 2_000 <= most_ms + 2_000


def test_never_means_never_where_no_maximum_forbids_it() -> None:
    cluster = cluster_of()
    set_up(cluster, default_ttl_ms=5_000)
    for key in (KEY, b"plain"):
        assert cluster.ask("n1", [SET, key, RAW, b"value", 0, 0, -1])[0] == DONE
        assert lifetime_ms(cluster, "n1", key) == 0


def test_levels_of_requests_that_name_none() -> None:
    cluster = cluster_of()
    set_up(cluster, default_read_level="quorum", default_write_level="all")
    set_up(cluster, name="", default_read_level="all")
    flags = FLAG_METADATA | FLAG_RECEIPT
    for key, write, read in ((KEY, Level.ALL, Level.QUORUM), (b"plain", Level.QUORUM, Level.ALL)):
        assert level_of(cluster.ask("n1", [SET, key, RAW, b"value", 0, 0, 0, flags])) == write
        assert level_of(cluster.ask("n1", [GET, key, 0, 0, flags])) == read
        assert level_of(cluster.ask("n1", [GET, key, Level.ONE, 0, flags])) == Level.ONE
    # The plain way takes them too: with a node down, a write at `all` is refused.
    cluster.kill("n3")
    cluster.run(10.0)
    assert cluster.ask("n1", [SET, KEY, RAW, b"value"], 3.0)[0] == ERROR
    assert cluster.ask("n1", [SET, KEY, RAW, b"value", Level.QUORUM], 3.0)[0] == DONE
    assert cluster.ask("n1", [GET, b"plain"], 3.0)[0] == ERROR


def test_last_write_wins_keeps_one_value_and_counts_the_others() -> None:
    cluster = cluster_of()
    set_up(cluster, mode="last_write_wins")
    for key in (KEY, b"plain"):
        cluster.cut_link("n1", "n2")
        cluster.cut_link("n1", "n3")
        assert cluster.ask("n1", [SET, key, RAW, b"first", Level.ONE])[0] == DONE
        assert cluster.ask("n2", [SET, key, RAW, b"second", Level.ONE])[0] == DONE
        cluster.heal()
        cluster.run(20.0)
    assert all(cluster.record(name, b"plain")[1] == MANY for name in cluster.nodes)  # type: ignore[index]
    records = {cluster.record(name, KEY) and cluster.record(name, KEY)[1:] for name in cluster.nodes}  # type: ignore[index]
    assert len(records) == 1
    (record,) = records
    assert record is not None
    assert record.endswith(b"second")
    assert sum(node.engine.discarded for node in cluster.nodes.values()) >= 1
    assert cluster.ask("n3", [GET, KEY, Level.ALL])[3] == b"second"


def test_a_changed_version_is_a_conflict_with_nothing_changed() -> None:
    cluster = cluster_of()
    version = set_up(cluster, sliding=True)["version"]
    reply = order(cluster, "n2", "namespace_set", name="web", options={"key_events": True}, version=version - 1)
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert f"expected {version}" in reply[3]
    again = order(cluster, "n2", "namespace_set", name="web", options={"sliding": True}, version=version - 1)
    assert again[2]["version"] == version  # the same order twice is as good as once
    done = order(cluster, "n2", "namespace_set", name="web", options={"key_events": True}, version=version)
    assert done[2]["settings"]["sliding"]
    assert done[2]["settings"]["key_events"]


def test_a_partition_ends_with_one_of_two_settings_everywhere() -> None:
    cluster = cluster_of()
    cluster.cut_link("n1", "n2")
    cluster.cut_link("n1", "n3")
    first = order(cluster, "n1", "namespace_set", name="web", options={"default_ttl_ms": 1}, write_level=1)
    second = order(cluster, "n2", "namespace_set", name="web", options={"default_ttl_ms": 2}, write_level=1)
    cluster.heal()
    cluster.run(5.0)
    newest = max((reply[2]["version"], reply[2]["settings"]["default_ttl_ms"]) for reply in (first, second))
    for node in cluster.nodes.values():
        namespaces = node.shared.namespaces
        assert (namespaces.version("web"), namespaces.named("web").default_ttl_ms) == newest


def test_an_order_that_misses_its_level_is_uncertain_and_kept() -> None:
    cluster = cluster_of()
    cluster.kill("n3")
    reply = order(
        cluster, "n1", "namespace_set", 3.0, name="web", options={"sliding": True}, write_level=int(Level.ALL)
    )
    assert (reply[0], reply[2]) == (ERROR, TimedOut.code)
    cluster.restart("n3")
    cluster.run(2.0)
    assert all(node.shared.namespaces.named("web").sliding for node in cluster.nodes.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "Web", "options": {}}, "namespace: got 'Web'"),
        ({"name": "web", "options": {"mode": "strong"}}, "mode: got 'strong'"),
        ({"name": "web", "options": {7: 1}}, "option: got 7, expected its name"),
        ({"name": "web", "options": {"replication_factor": 12}}, "replication_factor: got 12"),
        ({"name": "", "options": {"replication_factor": 2}}, "replication_factor: got 2, expected 0: the default"),
        ({"name": "web"}, "namespace_set: expected the argument options"),
        ({"name": "web", "options": {}, "write_level": 5}, "level: got 5, expected one, quorum"),
    ],
)
def test_what_cannot_be_set_is_told_and_changes_nothing(arguments: dict[str, Any], said: str) -> None:
    cluster = cluster_of(1)
    reply = order(cluster, "n1", "namespace_set", **arguments)
    assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
    assert said in reply[3]
    assert cluster.nodes["n1"].shared.catalogue.entries == {}


def test_a_dropped_namespace_has_the_defaults_again() -> None:
    cluster = cluster_of()
    version = set_up(cluster, default_ttl_ms=5_000)["version"]
    dropped = order(cluster, "n3", "namespace_drop", name="web", version=version)[2]
    assert dropped["version"] > version
    assert not dropped["is_set"]
    assert dropped["settings"]["default_ttl_ms"] == 0
    cluster.run(0.1)
    assert all("web" not in node.shared.namespaces.by_name for node in cluster.nodes.values())


def test_the_list_shows_what_has_settings_and_what_has_entries() -> None:
    cluster = cluster_of()
    set_up(cluster, "set", sliding=True)
    for key in (KEY, KEY + b"2", b"plain", b"\x00\x00\x00odd"):
        assert cluster.ask("n1", [SET, key, RAW, b"value", Level.ALL])[0] == DONE
    report = cluster.ask("n2", [REPORT, "namespaces"])[2]
    rows = {row["name"]: row for row in report["namespaces"]}
    assert [(name, rows[name]["entries"], rows[name]["is_set"]) for name in rows] == [
        ("", 2, False),
        ("set", 0, True),
        ("web", 2, False),
    ]
    assert all(row["bytes"] > 0 for row in rows.values() if row["entries"])
    assert report["other"] == {"entries": 0, "bytes": 0}
    one = cluster.ask("n2", [REPORT, "namespaces", "web"])[2]
    assert (one["node"], one["entries"]) == ("n2", 2)
    assert cluster.ask("n2", [REPORT, "namespaces", "Web"])[0] == ERROR
    assert cluster.ask("n2", [REPORT, "namespaces", 7])[0] == ERROR


def test_clients_are_told_at_once_which_namespaces_compress() -> None:
    cluster = cluster_of()
    cluster.pushed.clear()
    set_up(cluster, compression="zstandard")
    told = [message[5] for message in cluster.pushed if message[0] == TOPOLOGY]
    assert told == [{"web": "zstandard"}] * 3
    set_up(cluster, sliding=True)
    assert len([message for message in cluster.pushed if message[0] == TOPOLOGY]) == 3


@pytest.mark.parametrize("key", [b"\x00", b"\x00\x03we", b"\x00\x03Webk", b"\x00\x00k", b"\x00\x03web" + b"k" * 1_025])
def test_a_malformed_key_is_refused(key: bytes) -> None:
    cluster = cluster_of(1)
    for message in ([GET, key], [SET, key, RAW, b"value"], [INCREMENT, key, 1]):
        reply = cluster.ask("n1", message)
        assert (reply[0], reply[2]) == (ERROR, InvalidRequest.code)
        assert "key: got" in reply[3]


def test_the_longest_key_of_a_namespace_goes_everywhere() -> None:
    cluster = cluster_of()
    key = qualify("n" * 64, b"k" * 1_024)
    assert cluster.ask("n1", [SET, key, RAW, b"value", Level.ALL])[0] == DONE
    assert cluster.ask("n2", [GET, key, Level.ALL])[0] == VALUE
    cluster.kill("n3")
    cluster.restart("n3")
    cluster.run(20.0)
    assert cluster.record("n3", key) is not None


def test_a_dropped_namespace_is_empty_everywhere_and_others_are_not() -> None:
    cluster = cluster_of()
    for key in (KEY, b"plain", qualify("other", b"k")):
        assert cluster.ask("n1", [SET, key, RAW, b"value", Level.ALL])[0] == DONE
    assert order(cluster, "n2", "namespace_drop", name="web", write_level=int(Level.ALL))[0] == REPORTED
    assert cluster.ask("n3", [GET, KEY, Level.QUORUM])[0] == MISS
    for key in (b"plain", qualify("other", b"k")):
        assert cluster.ask("n3", [GET, key, Level.QUORUM])[0] == VALUE
    cluster.run(5.0)
    assert cluster.holders(KEY) == []
    report = cluster.ask("n1", [REPORT, "namespaces"])[2]
    assert "web" not in {row["name"] for row in report["namespaces"]}


def test_that_a_namespace_was_dropped_is_forgotten_in_time() -> None:
    cluster = cluster_of()
    for node in cluster.nodes.values():
        node.namespaces.retention_ms = node.invalidator.retention_ms = 5_000
    set_up(cluster, sliding=True)
    assert order(cluster, "n2", "namespace_drop", name="web")[0] == REPORTED
    cluster.run(1.0)
    assert all(b"Nweb" in node.shared.catalogue.entries for node in cluster.nodes.values())
    cluster.run(60.0)
    assert all(node.shared.catalogue.entries == {} for node in cluster.nodes.values())
    assert all(node.shared.namespaces.dropped == set() for node in cluster.nodes.values())


def test_a_policy_and_a_share_of_a_namespace_reach_every_store() -> None:
    cluster = cluster_of()
    assert not cluster.nodes["n2"].engine._grouped
    set_up(cluster, eviction="lfu", memory_share=0.25)
    cluster.run(1.0)
    for node in cluster.nodes.values():
        groups = {group.settings.prefix: group.settings for group in node.engine._groups.groups()}
        assert groups[KEY[:5]].policy == "lfu"
        assert groups[KEY[:5]].memory_share == 0.25
        assert groups[b""].policy == "s3fifo"
    set_up(cluster, name="", eviction="lru")
    set_up(cluster, eviction="", memory_share=0.0)
    cluster.run(3.0)
    for node in cluster.nodes.values():
        assert [group.settings.policy for group in node.engine._groups.groups()] == ["lru"]
