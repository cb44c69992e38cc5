"""One ring core on a fake port: the test says which table it has, who is alive and who confirms what."""

from collections.abc import Sequence
from random import Random
from typing import Any

import attrs
from pyroaring import BitMap

from dynacache.config.cluster import ClusterConfig
from dynacache.events import ConnectionId, Message
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.repair.copy_state import pack_state
from dynacache.repair.ports import Waiter
from dynacache.repair.ring_change import RingChange
from dynacache.types import NodeId
from dynacache.wire.messages import FENCED
from tests.placement.strategies import cluster, entry


@attrs.define(eq=False)
class FakeRing:
    """A table, liveness, and a port that keeps what is asked until the test answers it."""

    table: MemberTable
    node_id: NodeId = "node-0"
    random: Random = attrs.field(factory=lambda: Random(1))
    now_s: float = 0.0
    now_ms: int = 0
    hybrid: int = 7
    load: float = 0.0
    down: dict[NodeId, str] = attrs.field(factory=dict)
    asked: list[tuple[NodeId, Waiter]] = attrs.field(factory=list)
    replies: list[Message] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    @property
    def placement(self) -> Placement:
        """The owners under the table."""
        return Placement.from_table(self.table)

    @property
    def digest(self) -> int:
        """What a FENCE carries."""
        return self.table.digest

    def is_up(self, node_id: NodeId) -> bool:
        """Whoever is not down can be asked."""
        return node_id not in self.down

    def ask(self, node_id: NodeId, kind: int, fields: tuple[object, ...], waiter: Waiter, timeout_ms: int) -> None:
        """Keep the question."""
        assert fields == (self.digest,)
        self.asked.append((node_id, waiter))

    def reply(self, connection: ConnectionId, message: Message) -> None:
        """Keep the reply."""
        self.replies.append(message)

    def note(self, event: str, level: str = "info", **fields: object) -> None:
        """Keep the event."""
        self.notes.append(event)

    def write_entry(self, written: MemberEntry) -> None:
        """Merge it."""
        self.table = self.table.with_entry(written)

    def liveness(self, node_id: NodeId) -> str:
        """As the test says."""
        return self.down.get(node_id, "alive")


@attrs.define(eq=False)
class RingWorld:
    """A ring core and its fake surroundings."""

    fake: FakeRing
    settings: ClusterConfig = attrs.field(factory=ClusterConfig)
    warming: BitMap = attrs.field(factory=BitMap)
    stale: BitMap = attrs.field(factory=BitMap)
    departing: BitMap = attrs.field(factory=BitMap)
    left: int = 0
    core: RingChange = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.core = RingChange(self.fake, self.fake, self.settings, self, lambda: self.departing, self._ended)

    def state(self) -> MemberState:
        """Our own place."""
        return self.fake.table.entries[self.fake.node_id].state

    def state_of(self, node_id: NodeId) -> MemberState:
        """Another's place."""
        return self.fake.table.entries[node_id].state

    def tick(self, seconds: float = 0.0) -> None:
        """Let time pass and the core act."""
        self.fake.now_s += seconds
        self.core.tick()

    def confirm(self, names: Sequence[NodeId] = (), warming: Sequence[int] = ()) -> None:
        """Answer what was asked of these (of all by default), and let the core act; the other questions fail."""
        asked, self.fake.asked = self.fake.asked, []
        for node_id, waiter in asked:
            if not names or node_id in names:
                answer: list[Any] = [FENCED, 1, 7, pack_state(BitMap(warming), BitMap())]
                waiter.answered(answer)
            else:
                waiter.failed()
        self.core.tick()

    def put(self, node_id: NodeId, state: MemberState) -> None:
        """Let another member write its state."""
        known = self.fake.table.entries.get(node_id, entry(node_id, MemberState.OUTSIDE))
        self.fake.write_entry(attrs.evolve(known, state=state, version=known.version + 1))

    def _ended(self) -> None:
        self.left += 1


def world(size: int = 4, state: MemberState | None = None, settings: ClusterConfig | None = None) -> RingWorld:
    """`node-0` among `size` members, its own place as given."""
    table = cluster(size)
    if state is not None:
        table = table.with_entry(attrs.evolve(table.entries["node-0"], state=state, version=2))
    return RingWorld(FakeRing(table), settings or ClusterConfig())
