"""SIGTERM stops without leaving: what is in flight is finished, peers are told, the place is kept, exit code 0."""

import signal
import socket
import time

import pytest

from dynacache.errors import NotReady
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.messages import DONE, ERROR, GET, SET, VALUE
from tests.processes.nodes import HOST, Nodes, free_ports, until

pytestmark = pytest.mark.processes


def test_sigterm_finishes_announces_and_keeps_the_place(nodes: Nodes) -> None:
    ports = free_ports(3)
    processes = nodes.found(ports)
    leaver, others = processes[0], processes[1:]
    with leaver.call() as caller:
        requests = [[SET, number, b"key-%d" % number, 1, b"v" * 100, 2] for number in range(1, 3001)]
        caller.socket.sendall(frame_of_messages(requests))
        first = caller.reply()
        leaver.terminate()
        replies = [first]
        try:
            while True:
                replies.append(caller.reply())
        except (EOFError, ConnectionResetError):
            pass
    # Every request got its answer: done, or definitely not done.
    assert sorted(reply[1] for reply in replies) == list(range(1, 3001))
    assert {reply[0] for reply in replies} <= {DONE, ERROR}
    assert {reply[2] for reply in replies if reply[0] == ERROR} <= {NotReady.code}
    done = [reply[1] for reply in replies if reply[0] == DONE]
    assert len(done) > 100
    assert leaver.exit_code() == 0
    assert leaver.log("node.ended")[0]["reason"] == "stopped"

    for other in others:
        report = until(other.report, 5, "the others report")
        (place,) = [member for member in report["members"] if member["address"] == f"{HOST}:{leaver.port}"]
        assert (place["state"], place["place"]) == ("left", "normal")
        assert [line for line in other.log("member.changed") if line["stopped"]]
        assert not [line for line in other.log("member.changed") if line["state"] in ("suspect", "dead")]
    with others[0].call() as caller:
        for number in (done[0], done[-1]):
            assert caller.ask(GET, 1, b"key-%d" % number, 2)[:4] == [VALUE, 1, 1, b"v" * 100]

    back = nodes.start(ports[0], "--seed", f"{HOST}:{ports[1]}")
    nodes.agree([back, *others])
    report = until(back.report, 5, "the node reports")
    (place,) = [member for member in report["members"] if member["address"] == f"{HOST}:{back.port}"]
    assert (place["place"], place["partitions"]) == ("normal", 1024)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_single_node_stops_at_once(nodes: Nodes, number: signal.Signals) -> None:
    node = nodes.start(free_ports(1)[0], "--founders", "1")
    until(node.report, 10, "the node serves")
    began_s = time.monotonic()
    node.popen.send_signal(number)
    assert node.exit_code() == 0
    assert time.monotonic() - began_s < 3


def test_a_node_that_waits_for_its_birth_stops_at_once(nodes: Nodes) -> None:
    node = nodes.start(free_ports(1)[0], "--founders", "2")
    until(lambda: node.log("node.listening"), 10, "the node listens")
    node.terminate()
    assert node.exit_code(3) == 0


def test_a_whole_cluster_stops_in_time(nodes: Nodes) -> None:
    processes = nodes.found(free_ports(3))
    began_s = time.monotonic()
    for process in processes:
        process.terminate()
    assert [process.exit_code() for process in processes] == [0, 0, 0]
    assert time.monotonic() - began_s < 8


def test_a_stopping_node_takes_no_new_connection(nodes: Nodes) -> None:
    processes = nodes.found(free_ports(2))
    with processes[0].call():
        processes[0].terminate()
        until(lambda: processes[0].log("node.signal"), 5, "the signal came")

        def refused() -> bool:
            try:
                socket.create_connection((HOST, processes[0].port), 1).close()
            except OSError:
                return True
            return False

        until(refused, 3, "a new connection is refused")


def test_a_second_signal_ends_at_once(nodes: Nodes) -> None:
    processes = nodes.found(free_ports(2))
    processes[1].kill()
    processes[0].terminate()
    until(lambda: processes[0].log("node.signal"), 5, "the signal came")
    processes[0].terminate()
    assert processes[0].exit_code(3) == 0
