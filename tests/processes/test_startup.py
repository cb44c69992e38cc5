"""Every way in which a start can fail ends with one sentence and its own exit code; and a cluster is born only once."""

import socket
import threading
from collections.abc import Iterator

import pytest

from dynacache.errors import VersionMismatch
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor, refusal_of
from tests.processes.nodes import HOST, Nodes, Process, founding, free_ports, until

pytestmark = pytest.mark.processes


def ended(process: Process) -> tuple[int, str]:
    """Exit code and the one sentence of a node that could not start."""
    code = process.exit_code()
    said = process.said()
    assert said.startswith("dynacache: ")
    assert "\n" not in said.strip()
    return code, said


def test_two_nodes_on_one_address(nodes: Nodes) -> None:
    (port,) = free_ports(1)
    first = nodes.start(port, "--founders", "1")
    until(first.report, 10, "the first node serves")
    code, said = ended(nodes.start(port, "--founders", "1"))
    assert code == 10
    assert f"cannot listen on {HOST}:{port}: another process is using that address" in said
    assert first.report()


def test_an_unreachable_seed(nodes: Nodes) -> None:
    port, nobody = free_ports(2)
    code, said = ended(nodes.start(port, "--seed", f"{HOST}:{nobody}", "--set", "cluster.join_timeout_s=0.5"))
    assert code == 11
    assert f"{HOST}:{nobody} cannot connect" in said


def test_neither_seed_nor_founders(nodes: Nodes) -> None:
    code, said = ended(nodes.start(free_ports(1)[0]))
    assert code == 12
    assert "neither a seed" in said


def test_another_cluster(nodes: Nodes) -> None:
    port, other = free_ports(2)
    first = nodes.start(port, "--founders", "1")
    until(first.report, 10, "the first node serves")
    option = f"cluster.cluster_id={'ab' * 16}"
    code, said = ended(nodes.start(other, "--seed", f"{HOST}:{port}", "--set", option))
    assert code == 13
    assert "ab" * 16 in said


@pytest.mark.parametrize("secret", [[], ["--secret", "wrong"]])
def test_a_wrong_or_missing_secret(nodes: Nodes, secret: list[str]) -> None:
    port, other = free_ports(2)
    first = nodes.start(port, "--founders", "1", "--secret", "right")
    until(lambda: first.log("node.serving"), 10, "the first node serves")
    code, said = ended(nodes.start(other, "--seed", f"{HOST}:{port}", *secret))
    assert code == 14
    assert "secret" in said
    assert "right" not in said


@pytest.fixture
def later_version() -> Iterator[int]:
    """The port of a peer that speaks versions 7 to 9 only."""

    def serve() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            with stream:
                hello = FrameReader().feed(stream.recv(4096))[0]
                try:
                    Acceptor(b"c" * 16, "later", None, bytes(32), 7, 9).receive(hello)
                except VersionMismatch as error:
                    stream.sendall(frame_of_messages([refusal_of(error)]))

    listener = socket.create_server((HOST, 0))
    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_a_peer_of_a_version_out_of_range(nodes: Nodes, later_version: int) -> None:
    code, said = ended(nodes.start(free_ports(1)[0], "--seed", f"{HOST}:{later_version}"))
    assert code == 15
    assert "7 to 9" in said


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--set", "network.prot=1"], "network.prot: got '1'"),
        (["--set", "storage.limit_bytes=lots"], "storage.limit_bytes: got 'lots', expected a whole number"),
        (["--founders", "0"], "cluster.founders: got 0"),
        (["--seed", "nowhere"], "cluster.seeds: got 'nowhere', expected host:port"),
        (["--host", "0.0.0.0", "--founders", "1"], "network.secret"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_bad_option(nodes: Nodes, options: list[str], named: str) -> None:
    code, said = ended(nodes.start(free_ports(1)[0], *options))
    assert code == 2
    assert named in said


def cluster_of(process: Process) -> str | None:
    report = process.report()
    return None if report is None else str(report["cluster"])


@pytest.mark.parametrize("seeds", [True, False], ids=["same command", "no seeds"])
def test_a_founder_that_comes_back_empty_founds_nothing(nodes: Nodes, seeds: bool) -> None:
    ports = free_ports(3)
    processes = nodes.found(ports)
    cluster = cluster_of(processes[0])
    processes[0].kill()
    options = founding(ports, ports[0]) if seeds else founding(ports, ports[0])[:2]
    back = nodes.start(ports[0], *options)
    assert until(lambda: cluster_of(back), 15, "the founder is back") == cluster
    nodes.agree([back, *processes[1:]])
    serving = until(lambda: back.log("node.serving"), 15, "the founder says that it serves")
    assert [line["complete"] for line in serving] == [False]
    report = back.report()
    assert report is not None
    # It may be filled again by now, and a line is in the log some time after what it tells of.
    warming = until(lambda: back.log("memory.warming"), 15, "the founder says what it lacks")
    assert [(line["partitions"], line["reason"]) for line in warming] == [(1024, "the node started without memory")]
    assert len(report["members"]) == 3


def test_a_founder_alone_waits_for_ever_rather_than_found_a_second_cluster(nodes: Nodes) -> None:
    ports = free_ports(3)
    for process in nodes.found(ports):
        process.kill()
    back = nodes.start(ports[0], *founding(ports, ports[0]))
    waiting = until(lambda: back.log("birth.waiting"), 30, "the founder says what it waits for")
    assert str(ports[1]) in waiting[0]["reason"]
    assert back.log("node.serving") == []
    assert back.report() is None
    assert back.popen.poll() is None
