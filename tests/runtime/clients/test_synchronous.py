"""The synchronous client's surface; what its operations do is in `test_asynchronous.py`, which runs it too."""

import inspect
import os

import pytest

import dynacache
from tests.runtime.clients.fake_node import FakeCluster


def test_it_has_the_operations_of_the_asynchronous_client() -> None:
    def operations(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}

    assert operations(dynacache.AsyncClient) - {"run_one"} == operations(dynacache.Client) - {"close"}


def test_results_are_plain_values_at_once() -> None:
    with FakeCluster(1) as cluster, dynacache.Client(cluster.addresses) as client:
        assert client.set("k", (1, 2))
        assert client.get("k") == [1, 2]
        assert client.ttl("k") is None
        assert client.get_many(["k", "absent"]) == {"k": [1, 2]}


def test_a_client_does_not_show_its_secret() -> None:
    with FakeCluster(1, "hidden") as cluster, dynacache.Client(cluster.addresses, secret="hidden") as client:
        assert "hidden" not in repr(client)
    assert "hidden" not in repr(dynacache.connect("a:1", secret="hidden"))


def test_a_handle_of_a_namespace_follows_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeCluster(1) as cluster, dynacache.Client(cluster.addresses) as client:
        web = client.namespace("web")
        before, pool = web.requests, client._pool
        assert web.requests is before
        monkeypatch.setattr("os.getpid", lambda: 1)
        assert web.requests is not before
        assert web.requests.client_id == client.requests.client_id != before.client_id
        assert web.requests.namespace == "web"
        monkeypatch.undo()
        pool.close()
        client._process = os.getpid()


def test_a_handle_has_the_operations_of_its_client() -> None:
    def operations(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}

    assert operations(dynacache.Namespace) == operations(dynacache.Client) - {"close"}
    assert operations(dynacache.AsyncNamespace) == operations(dynacache.AsyncClient)
