"""A node whose clock is wrong serves nobody, and comes back clean.

What: ``Quarantine`` asks the peers for their time, has the ``ClockWatch`` judge, and while the clock is not safe keeps
the node from coordinating, acknowledging, answering reads, expiring and reaping (``Shared.clock_safe``). Membership
goes on. When the clock agrees again it decides what its own past is worth.

Invariant: the hybrid clock does not follow a wall clock that is not trusted; it only counts. So a clock that jumps is
noticed before it has dated anything, and the node goes on as it was. A clock that had *run* ahead, unnoticed until the
hybrid clock was beyond the allowed skew, has left traces: versions dated in the future, that would win until that time
has come, and entries that expired or were reaped too early. Then, before the node serves again,

0. every write under way ends, its fate unknown, and a retry is done anew: it must not be acknowledged for a version
   that goes now, nor be sent on under the present clock;
1. every record, hint and entry of the catalogue with a version or an expiry dated later than the present (plus the
   skew) is removed: nobody whose clock is right has merged it, since messages with such a clock are refused, so at most
   writes that this node alone acknowledged end, with what they had replaced here, and a counted hint among them is told
   as lost;
2. the hybrid clock is set back to the present, once: what it had issued beyond it is gone by step 1, and dots are
   unique without it (actors and counters, not times);
3. all its partitions are warming: a miss here means nothing until the other owners have been merged again.

A clock that was behind leaves nothing: the hybrid clock never goes back, so it dated what it wrote not before the past.
What cannot be undone is an expiry that was extended by a touch while the clock ran ahead: it may live so much longer.
A clock that jumped ahead and was set right again while no peer could be asked looks, by wall clocks alone, like one of
a cluster whose machines were all set back together, which must go on as it is. What tells them apart is that its move
ahead was believed without an answer: then the first peer that answers is asked whether our own past is ahead of it.

Why not clear the memory: it may hold the last copy of an acknowledged write, and only what the wrong clock has touched
is in doubt (DESIGN section 7; brief R1.9).
"""

from collections.abc import Callable

import attrs

from dynacache.coordination.shared import Shared
from dynacache.events import ConnectionId, Message
from dynacache.node.clock_watch import ClockWatch, Trust
from dynacache.repair.hints import HintStore
from dynacache.storage.engine import Engine
from dynacache.storage.records import deleted_ms, is_tombstone
from dynacache.types import Instant, NodeId
from dynacache.versioning import packed
from dynacache.versioning.layout import decode
from dynacache.wire.messages import CLOCK, CLOCKED

__all__ = ["Quarantine", "is_dated_after"]

_LOOKED_AT_MS = 50
"""A move of the wall clock by more is judged at once, a smaller one with the next answers."""

_CLEANSED_PER_TICK = 10_000
"""Records looked at in one slice, some 10 ms."""


def is_dated_after(record: bytes, limit_ms: int) -> bool:
    """Tell whether a version of a record was written, or found to be expired, after ``limit_ms``."""
    if record[1] == packed.MANY:
        latest_ms = max((version.time >> 16 for version in decode(record).dots.values()), default=0)
    else:
        latest_ms = packed.HEADER.unpack_from(record)[5] >> 16
    return latest_ms > limit_ms or (is_tombstone(record) and deleted_ms(record) > limit_ms)


@attrs.define(eq=False)
class Quarantine:
    """Keeps one node from doing harm with a wrong clock.

    ``closed`` is called with True when the node must stop serving clients and with False when it may again;
    ``begin_warming`` has the whole memory filled anew; ``forget_after`` drops what the catalogue holds that is dated
    beyond a hybrid timestamp; ``give_up_writes`` ends what was minted and is not acknowledged.
    """

    shared: Shared
    engine: Engine
    hints: HintStore
    watch: ClockWatch
    closed: Callable[[bool], None]
    begin_warming: Callable[[str], None]
    forget_after: Callable[[int], None]
    give_up_writes: Callable[[], None]
    times: int = 0
    """How often the node has quarantined itself."""
    _ran_ahead: bool = False
    _cleansed: int | None = None
    """The partition that is looked at next, while traces of a wrong clock are removed."""
    _told: set[NodeId] = attrs.field(factory=set)

    def look(self, now: Instant) -> bool:
        """Hold the wall clock against the monotonic one, before anything is dated by it; True when it jumped: then
        everybody is to be asked at once."""
        before = self.watch.offset_ms
        jumped = self.watch.moved(now)
        if jumped:
            self.shared.note("clock.moved", "warning", wall_ms=now.wall_ms)
        if jumped or abs(self.watch.offset_ms - before) > _LOOKED_AT_MS:
            self._judge(now)
        return jumped

    def tick(self, now: Instant) -> None:
        """Ask, judge, and go on with cleaning up."""
        self.look(now)
        linked = self._linked()
        questions = self.watch.questions(now, linked)
        for node_id, sequence in questions:
            self.shared.effects.send(self.shared.links.link(node_id).connection, (CLOCK, sequence))
        if questions or self.watch.trust is not Trust.SAFE:
            self._judge(now)
        if self._cleansed is not None and self.watch.trust is Trust.SAFE:
            self._cleanse(now)

    def next_due_s(self) -> float:
        """Return the monotonic second of the next thing to do."""
        return self.watch.next_round_s if self.shared.clock_safe else self.shared.now_s

    def asked(self, connection: ConnectionId, message: Message) -> None:
        """Tell a peer what this machine's clock shows."""
        self.shared.effects.send(connection, (CLOCKED, message[1], self.shared.wall_ms))

    def answered(self, node_id: NodeId, message: Message, now: Instant) -> None:
        """Take a peer's time."""
        sequence, wall_ms = message[1], message[2]
        if type(sequence) is not int or type(wall_ms) is not int:
            raise TypeError("the time of a peer")
        self.watch.answered(node_id, sequence, wall_ms, now)
        if self.watch.trust is not Trust.SAFE:
            self._judge(now)

    def report(self) -> dict[str, object]:
        """Return what is held of this clock, and of the peers' (ms ahead of ours)."""
        now = Instant(self.shared.now_s, self.shared.wall_ms)
        differences = self.watch.differences_ms(now, self._linked())
        return {
            "trust": self.watch.trust.value if self._cleansed is None else "cleaning",
            "quarantines": self.times,
            "peers_ahead_ms": {node_id: round(ahead) for node_id, (ahead, _) in differences.items()},
            "peers_skewed": self.watch.skewed(differences),
        }

    def _linked(self) -> list[NodeId]:
        return sorted(link.node_id for link in self.shared.links.by_node.values() if link.connection)

    def _judge(self, now: Instant) -> None:
        linked, shared = self._linked(), self.shared
        before = self.watch.trust
        trust = self.watch.judge(now, linked)
        agreed_ms = self.watch.agreed_ms(now, linked)
        if agreed_ms is not None and (trust is Trust.UNSAFE or self.watch.doubtful):
            self.watch.doubtful = False
            if (shared.clock.last >> 16) > agreed_ms + shared.clock.max_skew_ms:
                self._ran_ahead = True
        if trust is Trust.UNSAFE:
            if before is not Trust.UNSAFE:
                self.times += 1
                off_ms = None if agreed_ms is None else round(now.wall_ms - agreed_ms)
                shared.note("clock.unsafe", "error", ahead_of_peers_ms=off_ms, peers=len(linked))
        else:
            self._tell_skewed(now, linked)
        if trust is Trust.SAFE and self._ran_ahead and self._cleansed is None:
            self._cleansed = 0
            self.give_up_writes()
        self._set(trust is Trust.SAFE and self._cleansed is None)

    def _tell_skewed(self, now: Instant, linked: list[NodeId]) -> None:
        """Note once that a peer's clock is off: it will find out by itself."""
        skewed = set(self.watch.skewed(self.watch.differences_ms(now, linked)))
        for node_id in sorted(skewed - self._told):
            self.shared.note("clock.peer_skewed", "warning", peer=node_id)
        self._told = skewed

    def _set(self, safe: bool) -> None:
        if safe == self.shared.clock_safe:
            return
        self.shared.clock_safe = safe
        self.closed(not safe)
        self.shared.note("clock.safe" if safe else "clock.doubted", "info")

    def _cleanse(self, now: Instant) -> None:
        """Remove a slice of what the wrong clock has dated; at the end serve again, as a node that must be filled."""
        limit_ms = now.wall_ms + self.shared.clock.max_skew_ms
        looked = 0
        while self._cleansed is not None and looked < _CLEANSED_PER_TICK:
            if self._cleansed >= self.engine.shard_count:
                self._return(now, limit_ms)
                return
            items = self.engine.items(self._cleansed)
            looked += len(items)
            for key, record in items:
                if is_dated_after(record, limit_ms):
                    self.engine.remove(self._cleansed, key)
            self._cleansed += 1

    def _return(self, now: Instant, limit_ms: int) -> None:
        shared = self.shared
        suspect = [each for each in self.hints.items() if is_dated_after(each[2].record, limit_ms)]
        for target, key, hint in suspect:
            self.hints.remove(target, key)
            if hint.counted:
                shared.counters.hints_lost += 1
                shared.note("hint.lost", "warning", target=target, partition=hint.partition)
        self.forget_after((limit_ms + shared.clock.max_skew_ms) << 16)  # an epoch may lie in the future by the skew
        shared.clock.set_back(now.wall_ms)
        self._cleansed, self._ran_ahead = None, False
        self.begin_warming("clock")
        self._set(True)
