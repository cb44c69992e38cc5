"""The cores of repair are served, ticked and told of new owners; strangers to our table or time are not served."""

from collections.abc import Mapping

import attrs

from dynacache.events import ConnectionId, Message
from dynacache.placement.placement import Placement
from dynacache.repair.ports import Handler
from dynacache.wire.messages import PULL
from tests.fake_cluster import FakeCluster


@attrs.define
class FakeCore:
    """A core that remembers what it was told."""

    due_s: float = float("inf")
    served: list[tuple[ConnectionId, str, Message]] = attrs.field(factory=list)
    ticks: int = 0
    changes: int = 0

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """One kind."""
        return {PULL: self._serve}

    def _serve(self, connection: ConnectionId, node_id: str, message: Message) -> None:
        self.served.append((connection, node_id, message))

    def tick(self) -> None:
        """Count."""
        self.ticks += 1

    def next_due_s(self) -> float:
        """As told."""
        return self.due_s

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Count."""
        self.changes += 1

    def statistics(self) -> Mapping[str, object]:
        """One figure."""
        return {"ticks": self.ticks}


def _cluster() -> tuple[FakeCluster, FakeCore]:
    cluster = FakeCluster(3)
    core = FakeCore()
    cluster.nodes["n1"].upkeep.add("fake", core)
    return cluster, core


def test_a_core_is_ticked_and_asks_for_its_next_turn() -> None:
    cluster, core = _cluster()
    core.due_s = cluster.now_s + 0.1
    cluster.run(1.0)
    assert core.ticks >= 1
    assert cluster.nodes["n1"].upkeep.next_due_s() <= core.due_s
    assert cluster.nodes["n1"].statistics()["fake_ticks"] == core.ticks


def test_only_senders_with_our_table_and_time_are_served() -> None:
    cluster, core = _cluster()
    node = cluster.nodes["n1"]
    clock, digest = node.repair_port.hybrid, node.repair_port.digest
    node.upkeep.serve(7, "n2", (PULL, 1, clock, digest, 0, None, 100))
    assert len(core.served) == 1
    node.upkeep.serve(7, "n2", (PULL, 2, clock, digest + 1, 0, None, 100))
    assert node.counters.stale_tables == 1
    node.upkeep.serve(7, "n2", (PULL, 3, clock + (60_000 << 16), digest, 0, None, 100))
    assert node.counters.skewed_messages == 1
    assert len(core.served) == 1


def test_cores_hear_of_other_owners() -> None:
    cluster, core = _cluster()
    placement = cluster.nodes["n1"].members.placement
    cluster.nodes["n1"].members.owners_changed(placement, placement)
    assert core.changes == 1
