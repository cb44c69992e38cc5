"""The synchronous client's own troubles: threads, forks, interruptions."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import dynacache
from dynacache.errors import UnavailableError
from dynacache.wire.messages import SET
from tests.runtime.clients.fake_node import ANSWER, SILENCE, FakeCluster, FakeNode


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(3) as three:
        yield three


def test_many_threads_share_a_client(cluster: FakeCluster) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(25):
                assert client.set(f"{name}-{number}", [name, number])
                client.increment("total")
                with client.pipeline() as pipeline:
                    for other in range(number):
                        pipeline.get(f"{name}-{other}")
                assert pipeline.results == [[name, other] for other in range(number)]
        except BaseException as error:
            failures.append(error)

    with dynacache.Client(cluster.addresses, connections_per_node=3) as client:
        threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert client.get("total") == 200
    assert all(node.accepted <= 3 for node in cluster.nodes)


def test_a_child_process_after_a_fork_has_its_own_connections_and_operation_ids(cluster: FakeCluster) -> None:
    with dynacache.Client(cluster.addresses) as client:
        assert client.set("k", "parent")
        child = os.fork()
        if not child:
            try:
                ended_well = bool(client.set("child", "child")) and client.get("k") == "parent"
                client.close()
                os._exit(0 if ended_well else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert client.get("child") == "child", "the parent's connections are unharmed"
    ids = [request[11][:8] for request in cluster.requests if request[0] == SET]
    assert len(set(ids)) == 2


def test_an_interrupted_request_cannot_answer_a_later_one(cluster: FakeCluster) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(_: int, __: Any) -> None:
        raise Interrupted

    def behaviour(_: FakeNode, request: list[Any]) -> str:
        if request[2] == b"silent":
            signal.pthread_kill(main, signal.SIGUSR1)
            return SILENCE
        return ANSWER

    main = threading.get_ident()
    cluster.behaviour = behaviour
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with dynacache.Client(cluster.addresses[:1]) as client:
            assert client.set("k", 1)
            with pytest.raises(Interrupted):
                client.get("silent")
            assert client.get("k") == 1
            assert client.get("absent") is None
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_client_says_so(cluster: FakeCluster) -> None:
    client = dynacache.Client(cluster.addresses)
    client.close()
    client.close()
    with pytest.raises(UnavailableError, match="closed"):
        client.get("k", timeout=0.1)
