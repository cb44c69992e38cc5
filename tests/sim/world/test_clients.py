"""Clients: every kind of operation, retries, conditions on versions, lost connections, other nodes."""

from typing import Any

import pytest

from dynacache.types import MissReason
from sim.history import OperationKind, OperationRecord, Outcome
from sim.options import Options
from sim.workload import Operation
from sim.world.world import World


class Session:
    """One client of a fresh cluster, one operation at a time."""

    def __init__(self, **options: Any) -> None:
        self.world = World(Options(**{"seed": 6, "nodes": 3, "clients": 1, "client_timeout_s": 3.0, **options}))
        self.world.begin()
        assert self.world.advance_until(self.world.founders_serve, 20.0)
        assert self.world.advance_until(self.world.is_linked, 10.0)
        self.number = 0

    def start(self, kind: OperationKind, key: bytes = b"k", **arguments: Any) -> int:
        self.number += 1
        arguments.setdefault("level", 2)
        self.world.clients[0].start(Operation(self.number, 0.0, 0, kind, key, arguments))
        return self.number

    def ask(self, kind: OperationKind, key: bytes = b"k", **arguments: Any) -> OperationRecord:
        self.start(kind, key, **arguments)
        assert self.world.advance_until(self.world.clients_rest, 10.0, 0.01)
        return self.world.history[-1]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session()


def test_every_kind_of_operation(session: Session) -> None:
    ask, kinds = session.ask, OperationKind
    assert ask(kinds.SET, value=b"1:").result is True
    read = ask(kinds.GET)
    assert (read.result, read.metadata["receipt"]["level"]) == (b"1:", 2)
    assert ask(kinds.SET_IF_ABSENT, value=b"2:").result is False
    assert ask(kinds.SET_IF_PRESENT, value=b"3:").result is True
    assert ask(kinds.SET_IF_VERSION, value=b"4:").result is True
    exchanged = ask(kinds.GET_AND_SET, value=b"5:", ttl_s=30.0)
    assert (exchanged.result, exchanged.metadata["previous"]) == (True, b"4:")
    assert ask(kinds.TOUCH, ttl_s=100.0).result is True
    assert ask(kinds.GET, full=False).result == b"5:"
    assert ask(kinds.DELETE_IF_VERSION).result is True
    missed = ask(kinds.GET)
    assert (missed.result, missed.metadata["miss_reason"]) == (None, MissReason.DELETED)
    assert ask(kinds.DELETE).outcome is Outcome.OK
    assert [ask(kinds.INCREMENT, b"c", delta=delta).result for delta in (2, -5)] == [2, -3]


def test_a_condition_on_a_version_never_seen_reads_instead(session: Session) -> None:
    assert session.ask(OperationKind.SET_IF_VERSION, b"fresh", value=b"x").kind is OperationKind.GET


def test_a_request_in_error_is_failed_for_sure(session: Session) -> None:
    session.ask(OperationKind.SET, b"text", value=b"word")
    record = session.ask(OperationKind.INCREMENT, b"text", delta=1)
    assert (record.outcome, record.metadata["error"][0]) == (Outcome.FAILED, "WrongType")


def test_a_dead_coordinator_is_replaced_within_the_call() -> None:
    session = Session()
    session.ask(OperationKind.SET, value=b"1:")
    assert session.world.machines["n1"].node is not None
    first = session.world.evidence().owners[b"k"][0]
    session.world.machines[first].crash()
    record = session.ask(OperationKind.SET, value=b"2:")
    assert record.outcome is Outcome.OK
    assert session.ask(OperationKind.GET).result == b"2:"


def test_silence_ends_in_an_unknown_fate_by_the_deadline() -> None:
    session = Session()
    session.ask(OperationKind.SET, value=b"1:")
    for name in ("n1", "n2", "n3"):
        session.world.network.cut(name, "client0")
    began_s = session.world.heap.now_s
    record = session.ask(OperationKind.INCREMENT, b"c", delta=1)
    assert record.outcome is Outcome.UNKNOWN
    assert record.return_s == pytest.approx(began_s + 3.0, abs=0.1)


def test_broken_connections_are_made_again() -> None:
    session = Session()
    session.ask(OperationKind.SET, value=b"1:")
    for name in ("n1", "n2", "n3"):
        session.world.network.reset(name, "client0")
    session.world.advance(0.1)
    assert session.ask(OperationKind.GET).result == b"1:"
    assert session.world.clients[0].accept(None) is False  # type: ignore[arg-type]
