"""Questions of the repair cores between real nodes: one answer or one failure each, never inside the asking."""

from collections.abc import Mapping

import attrs

from dynacache.events import ConnectionId, Message
from dynacache.node.repair_port import BUSY_PENDING_COUNT
from dynacache.placement.placement import Placement
from dynacache.repair.ports import Handler, RepairPort
from dynacache.wire.messages import FENCE, FENCED
from tests.fake_cluster import FakeCluster


@attrs.define
class Asked:
    """A waiter that remembers."""

    answers: list[Message] = attrs.field(factory=list)
    failures: int = 0

    def answered(self, message: Message) -> None:
        """Remember an answer."""
        self.answers.append(message)

    def failed(self) -> None:
        """Remember a failure."""
        self.failures += 1


def _answering(cluster: FakeCluster, name: str) -> list[int]:
    """Let a node answer FENCE by an empty state; returns the digests it was asked with."""
    node = cluster.nodes[name]
    asked: list[int] = []

    def serve(connection: ConnectionId, node_id: str, message: Message) -> None:
        asked.append(message[3])
        node.repair_port.reply(connection, (FENCED, message[1], node.repair_port.hybrid, [b"", b""]))

    node.upkeep._handlers[FENCE] = serve
    return asked


@attrs.define
class Asker:
    """A core that asks n2 in its next turn, as cores do."""

    port: RepairPort
    waiter: Asked
    digest: int
    timeout_ms: int
    handlers: Mapping[int, Handler] = attrs.field(factory=dict)
    asked: bool = False

    def tick(self) -> None:
        """Ask once; nothing is heard before the turn is over."""
        if not self.asked:
            self.asked = True
            self.port.ask("n2", FENCE, (self.digest,), self.waiter, self.timeout_ms)
            assert not self.waiter.answers
            assert not self.waiter.failures

    def next_due_s(self) -> float:
        """At once, until it has asked."""
        return float("inf") if self.asked else 0.0

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Nothing changes here."""

    def statistics(self) -> Mapping[str, object]:
        """Nothing is counted here."""
        return {}


def _ask(cluster: FakeCluster, waiter: Asked, *, digest: int | None = None, timeout_ms: int = 1_000) -> None:
    node = cluster.nodes["n1"]
    asker = Asker(node.repair_port, waiter, node.repair_port.digest if digest is None else digest, timeout_ms)
    node.upkeep.add("asker", asker)
    cluster.run(1.0)
    assert asker.asked


def test_a_question_is_answered_once() -> None:
    cluster = FakeCluster(3)
    asked = _answering(cluster, "n2")
    waiter = Asked()
    _ask(cluster, waiter)
    assert [answer[0] for answer in waiter.answers] == [FENCED]
    assert waiter.failures == 0
    assert asked == [cluster.nodes["n1"].repair_port.digest]


def test_a_sender_with_another_table_is_corrected_and_told_that_it_failed() -> None:
    cluster = FakeCluster(3)
    asked = _answering(cluster, "n2")
    waiter = Asked()
    _ask(cluster, waiter, digest=12345)
    assert (waiter.answers, waiter.failures, asked) == ([], 1, [])
    assert cluster.nodes["n2"].counters.stale_tables == 1


def test_a_peer_that_is_away_fails_in_the_next_turn() -> None:
    cluster = FakeCluster(3)
    cluster.cut_link("n1", "n2")
    waiter = Asked()
    _ask(cluster, waiter)
    cluster.run(1.0)
    assert (waiter.answers, waiter.failures) == ([], 1)
    assert not cluster.nodes["n1"].repair_port.is_up("n2")


def test_a_lost_link_and_a_deadline_fail_the_question_once() -> None:
    cluster = FakeCluster(3)
    cluster.nodes["n2"].upkeep._handlers[FENCE] = lambda connection, node_id, message: None
    lost, late = Asked(), Asked()
    _ask(cluster, late, timeout_ms=500)
    cluster.run(2.0)
    assert late.failures == 1
    _ask(cluster, lost, timeout_ms=60_000)
    cluster.cut_link("n1", "n2")
    cluster.run(1.0)
    assert (lost.failures, lost.answers) == (1, [])


def test_load_is_what_is_in_flight() -> None:
    port = FakeCluster(3).nodes["n1"].repair_port
    assert port.load == 0.0
    for request_id in range(BUSY_PENDING_COUNT + 1):
        port.shared.pending[10**9 + request_id] = object()  # type: ignore[assignment]
    assert port.load == 1.0
