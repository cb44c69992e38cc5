"""The core of one node in the bench's own process: no sockets, and a clock that is the bench's to move.

What: ``CoreNode`` is a node that is a whole cluster, and its virtual time. ``turn`` lets it take one turn and returns
its answers with the wall and the processor time that it took; ``pass_time`` goes to the node's next deadline. ``still``
keeps the garbage collector out of a measurement.

Invariant: the node is the product's own, with the settings of a node that has nothing else to do; messages are packed
and unpacked as on the wire, outside the time that is taken.

Why beside the benches with real processes: what is claimed of a turn (that it is short, or does not grow with the
number of entries) is a matter of the node's own processor time, which others on the machine do not stretch.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import attrs
import msgpack

from dynacache.config import Config, StorageSettings
from dynacache.events import Connected, Message
from dynacache.membership.birth import Birth, Born, Joined
from dynacache.node import Node
from dynacache.placement.table import MemberEntry, MemberState, MemberTable
from dynacache.types import Instant, Role

__all__ = ["START_MS", "CoreNode", "still"]

START_MS = 1_700_000_000_000
"""The wall clock when a node starts."""

_NAME = "n1"
_CLIENT = 7
_BASE_BYTES = 256 * 2**20
_BUDGET_BYTES = 400


@attrs.define(eq=False)
class CoreNode:
    """A node, and its clock."""

    node: Node
    now_s: float = 1.0

    @classmethod
    def with_room_for(cls, entries: int) -> "CoreNode":
        """Return a node of a memory that takes so many small entries without evicting any, and one client's
        connection."""
        storage = StorageSettings(limit_bytes=_BASE_BYTES + entries * _BUDGET_BYTES)
        entry = MemberEntry(_NAME, 1, 1, MemberState.NORMAL, "", 1, _NAME, 1)
        table = MemberTable.of(b"b" * 16, 1024, 1, [entry])
        birth = Birth(node_id=_NAME, incarnation=1, host=_NAME, port=1, founders=1, join_timeout_s=1.0)
        assert isinstance(birth.outcome, Born)
        birth.outcome = Joined(birth.outcome.record, table, entry)
        node = Node(Config(storage=storage), _NAME, 1, birth, table, True, Random(1), Instant(0.0, START_MS))
        node.handle(Instant(0.5, START_MS), [], [Connected(_CLIENT, Role.CLIENT, None, False)])
        return cls(node)

    @property
    def now_ms(self) -> int:
        """The wall clock."""
        return START_MS + int(self.now_s * 1000)

    def turn(self, *messages: Message) -> tuple[list[Message], float, float]:
        """Let the node take one turn; return its answers, and its wall and processor time in milliseconds."""
        instant = Instant(self.now_s, self.now_ms)
        received = [(_CLIENT, [msgpack.unpackb(msgpack.packb(each)) for each in messages])] if messages else []
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        effects = self.node.handle(instant, received)
        taken, taken_cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
        return effects.sends.get(_CLIENT, []), taken / 1e6, taken_cpu / 1e6

    def pass_time(self) -> None:
        """Go to the node's next deadline."""
        self.now_s = max(self.now_s + 0.0001, self.node.next_deadline())

    def settle(self) -> None:
        """Let the clean-up finish what it has to do now: the trees take their level."""
        while self.node.engine.collect(self.node.shared.now_ms, 10_000) >= 10_000:
            pass


@contextmanager
def still() -> Iterator[None]:
    """Keep the garbage collector from running within, and leave it as it was."""
    was_enabled, was_frozen = gc.isenabled(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()
        if was_enabled:
            gc.enable()
