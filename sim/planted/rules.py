"""Planted bugs: the rules of ring changes, each broken in whole nodes.

What: rules that the model (``sim.ring``) leaves out one at a time are left out of the product here: the fence, joint
write sets, SETTLING, N-W+1 sources, and that a removed node hands over what it holds.

Invariant: as in ``bug``. Each scenario cuts single pairs of nodes at exact moments, since in open weather a node learns
of a change within milliseconds and every breach is hidden by that.

Why as well as the model: the model shares no code with the product, so it proves the rules and not that they are built.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

from pyroaring import BitMap

from dynacache.node.peer_messages import PeerMessages
from dynacache.placement.placement import Placement
from dynacache.placement.table import MemberState
from dynacache.repair import warming
from dynacache.repair.exchange import Exchange
from dynacache.repair.ring_change import RingChange
from dynacache.repair.warming import Ending
from dynacache.repair.warming_plan import WarmingPlan

from ..faults.draw import node_names
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_JOINER = "j1"
_STRICT = 3
_STILL: dict[str, Any] = {
    "joiners": 1,
    "zones": 3,
    "exchange_interval_s": 60.0,
    "hint_settle_s": 40.0,
    "read_level": _STRICT,
    "write_level": _STRICT,
    "change_interval_s": 0.5,
}
"""Nothing but the change itself repairs anything."""


def _serve_all(original: Callable[..., Any]) -> Callable[..., Any]:
    def write(self: Any, connection: Any, peer: Any, message: Any, now: Any) -> None:
        self.replica.write(connection, message)

    return write


def _readers_alone(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, partition: (self.owners(partition),)


def _normal_at_once(original: Callable[..., None]) -> Callable[..., None]:
    def write(self: RingChange, own: Any, state: MemberState) -> None:
        original(self, own, MemberState.NORMAL if state is MemberState.SETTLING else state)

    return write


def _one_witness(original: Callable[..., int]) -> Callable[..., int]:
    return lambda copies, owners: 1


def _as_if_by_quorum(original: Callable[..., None]) -> Callable[..., None]:
    return lambda self, partition, ending: original(self, partition, Ending.QUORUM)


def _drop_what_is_lost(original: Callable[..., None]) -> Callable[..., None]:
    def table_changed(self: Exchange, before: Placement, after: Placement) -> None:
        original(self, before, after)
        for partition in self.ground.departing:
            self.engine.clear(partition)
        self.ground.departing = BitMap()

    return table_changed


class _Joining:
    """A joiner comes in, while the nodes see each other only in part. The keys are new: a strict read that finds
    something brings it to a quorum of each set of owners first, and so would hide the breach.

    It shares its zone with ``last`` alone, so it can only take the place of that one; and can be filled when it sees no
    other. ``first`` and ``second`` keep their places; ``client0`` reaches the first and the last, ``client1`` the
    others.
    """

    def __init__(self, keys: int = 6) -> None:
        self.script = script = Script.of(**_STILL)
        self.last, self.first, self.second = node_names(script.options)
        candidates = (b"k%d" % number for number in range(200))
        moved = (key for key in candidates if script.owners_with(_JOINER, key)[3] == self.last)
        self.keys = list(islice((key for key in moved if script.owners(key)[0] == self.first), keys))
        script.hide(1.0, 20.0, 0, [self.second, _JOINER])
        script.hide(1.0, 20.0, 1, [self.first, self.last])
        script.fault(2.1, "join", node=_JOINER)

    def write(self, at_s: float, client: int) -> None:
        """Write every key once."""
        for step, key in enumerate(self.keys):
            self.script.set(at_s + step / 50, key=key, client=client, level=_STRICT)

    def read(self, at_s: float, client: int) -> None:
        """Read every key once."""
        for step, key in enumerate(self.keys):
            self.script.get(at_s + step / 20, key=key, client=client, level=_STRICT)


def _writer_behind() -> Scenario:
    """A coordinator hears late that an owner leaves; what it writes reaches that one after it was copied.

    The owner that stays hears of all and is heard no more, so that the change stops in RETIRING.
    """
    script = Script.of(**(_STILL | {"joiners": 0, "nodes": 4}))
    leaver, writer, reader, gainer = node_names(script.options)  # the first and the last share a zone
    names = (b"k%d" % number for number in range(200))
    owners = ((key, script.owners(key)) for key in names)
    keys = list(islice((key for key, each in owners if leaver in each and each[0] == writer), 6))
    script.hide(1.0, 9.0, 0, [leaver, reader, gainer])
    script.hide(1.0, 9.0, 1, [leaver, writer, gainer])
    script.between(2.0, 9.0, [writer], [reader, gainer])
    script.cut(2.0, 4.8, [leaver], [writer])
    script.fault(2.1, "leave", node=leaver, down_s=5.0)
    script.between(2.0, 3.0, [gainer], [leaver])
    script.cut(2.6, 9.0, [reader], [leaver])
    for step, key in enumerate(keys):
        script.set(0.5 + step / 20, key=key, level=4)
        script.set(4.2 + step / 50, key=key, client=0, level=_STRICT)
        script.get(6.0 + step / 20, key=key, client=1, level=_STRICT)
    return script.scenario(10.0)


def _writer_apart() -> Scenario:
    """The two owners on one side take writes; the joiner was filled before, and is read with the third."""
    story = _Joining()
    script, first, second, last = story.script, story.first, story.second, story.last
    script.between(2.0, 20.0, [first], [second, _JOINER])
    script.between(2.0, 11.5, [second], [_JOINER])
    script.between(11.5, 20.0, [last], [second, _JOINER])
    script.hide(1.0, 20.0, 0, [last])
    story.write(10.0, client=0)
    story.read(15.0, client=1)
    return script.scenario(21.0)


def _reader_behind() -> Scenario:
    """Two owners that know of the join, and not of its end, are read; the joiner and the third are written."""
    story = _Joining()
    script, first, second, last = story.script, story.first, story.second, story.last
    script.between(2.0, 10.0, [_JOINER], [first, second])
    script.part(10.0, 20.0, [first, last])
    story.write(13.0, client=1)
    story.read(17.0, client=0)
    return script.scenario(21.0)


def _filled_from_one() -> Scenario:
    """One owner missed writes, another lost its memory and is filled; strict reads ask these two."""
    script = Script.of(hint_settle_s=60.0, exchange_interval_s=60.0, young_ms=500)
    names = (b"k%d" % number for number in range(200))
    owners = next(each for each in map(script.owners, names) if each[2] < each[1])
    first, second, last = owners  # of two, the one with the lower name is asked for the lowest partitions
    keys = script.keys_of(owners, 8)
    script.between(1.0, 3.0, [first], [last])
    script.fault(2.9, "reset", first=first, second=last)  # what is on its way would come after all
    script.between(1.0, 18.0, [second], [last])  # these two would repair each other
    for step, key in enumerate(keys):
        script.set(1.5 + step / 20, key=key, level=_STRICT)
        script.get(12.0 + step / 20, key=key, level=_STRICT)
    script.fault(4.0, "crash", node=first, down_s=0.5)
    script.between(11.5, 18.0, [first], [second])
    return script.scenario(20.0)


def _two_memories_lost() -> Scenario:
    """Both owners that have a write lose their memory, one right after the other."""
    script = Script.of(exchange_interval_s=60.0, hint_settle_s=40.0, hints_wait_s=2.0, transfer_patience_s=1.0)
    first, second, last = owners = script.owners()
    script.part(1.0, 3.0, [last])
    for step, key in enumerate(script.keys_of(owners, 4)):
        script.set(1.5 + step / 20, key=key, level=_STRICT)
    script.fault(2.7, "reset", first=first, second=last)
    script.fault(2.8, "crash", node=first, down_s=0.5)
    script.fault(2.9, "crash", node=second, down_s=0.5)
    return script.scenario(20.0)


def _removed_while_cut_off() -> Scenario:
    """An owner is cut off for so long that the others remove it; it alone has what was written."""
    script = Script.of(nodes=4, replication_factor=1, auto_remove_after_s=5.0, change_interval_s=0.5)
    only = script.owners()[0]
    script.set(0.5)
    script.part(1.0, 40.0, [only])
    return script.scenario(45.0)


BUGS = (
    Bug(
        "what comes under another table is served", "I9",
        "a replica takes writes whatever member table their sender has: no fence",
        (Patch(PeerMessages, "_write", _serve_all),), _writer_behind,
    ),
    Bug(
        "writes need one quorum alone", "I9",
        "a write during a change counts its answers among those who are read, and not in each set of owners",
        (Patch(Placement, "write_sets", _readers_alone),), _writer_apart,
    ),
    Bug(
        "no SETTLING", "I9",
        "a joiner that is filled becomes NORMAL at once",
        (Patch(RingChange, "_write", _normal_at_once),), _reader_behind,
    ),
    Bug(
        "one source is enough", "I9",
        "a memory that was lost counts as filled after one complete owner, not N-W+1",
        (Patch(warming, "witnesses", _one_witness),), _filled_from_one,
    ),
    Bug(
        "lost memory is not told", "I1",
        "a memory that was filled from whatever was left counts as filled from enough complete owners",
        (Patch(WarmingPlan, "_end", _as_if_by_quorum),), _two_memories_lost,
    ),
    Bug(
        "a removed node drops what it holds", "I1",
        "what a node owns no more is thrown away and not handed over",
        (Patch(Exchange, "table_changed", _drop_what_is_lost),), _removed_while_cut_off,
    ),
)  # fmt: skip
"""Bugs in the rules of ring changes."""
