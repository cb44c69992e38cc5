"""One exchange as its asker drives it: find leaves that differ, make sure, repair, settle.

What: the conversation in four parts. *Open*: one digest over all shared partitions; equal ends it (one message pair).
*Narrow*: digests of leaves that either side knows as changed, or a walk down the tree where those are many or explain
nothing. *Repair*: after a second comparison ``confirm_s`` later, what stands in the leaves (``exchange_repair``).
*Settle*: a leaf that still differs although nothing was postponed is settled.

Invariant: the asker sends the digests that it *expects* of the other side, its own but for what is settled; both sides
clear marks only for digests that agree. A partition counts as synced from the start of an exchange in which every leaf
found to differ was resolved or settled.

Why a walk that starts at the top rather than a list of dirty leaves: under load ten seconds change tens of thousands
of leaves, nearly all of them equal again by the time they are looked at; digests from the top down cost a few dozen
bytes for each leaf that differs *now*. A short list of dirty leaves is cheaper still, so that is tried first.
"""

from collections.abc import Iterable
from itertools import islice

import attrs
from pyroaring import BitMap

from dynacache.repair.copy_state import pack_partitions, unpack_state
from dynacache.repair.exchange_ground import ExchangeGround
from dynacache.repair.exchange_nodes import PREFIX_BITS, TOP, WALK_LEVELS, pack_numbers, unpack_numbers
from dynacache.repair.exchange_peer import PeerView
from dynacache.repair.exchange_steps import Ask, GaveUp, Pause, Steps
from dynacache.wire.messages import COMPARE

__all__ = [
    "DEEPER_LIMIT",
    "DIRECT_LIMIT",
    "NODES_LIMIT",
    "NOT_NOW",
    "OTHER_SET",
    "SUSPECT_LIMIT",
    "WAS_COMPARED",
    "Compared",
    "Session",
    "SessionResult",
]

NODES_LIMIT = 512
"""Digests in one message."""

DIRECT_LIMIT = 1024
"""Leaves known as changed, on either side, up to which they are compared directly; a walk is cheaper beyond."""

SUSPECT_LIMIT = 4096
"""Leaves that one exchange repairs; the rest is for the next, which begins at once."""

DEEPER_LIMIT = NODES_LIMIT
"""Partitions in one answer whose tree is less deep than was asked."""

WAS_COMPARED, OTHER_SET, NOT_NOW = range(3)
"""Outcomes of a question: compared; the two sides leave out different partitions, state told; expiry is behind."""

_OPEN_TRIES = 3
_NOT_NOW_TRIES = 100
_NOT_NOW_PAUSE_S = 0.1
_UNEXPLAINED_LIMIT = 2


@attrs.frozen
class Compared:
    """What an answer says: nodes that differ as (node, our digest, theirs), the levels of trees less deep than ours,
    and, asked of the top, the leaves that the peer knows as changed (None for many)."""

    outcome: int
    unequal: list[tuple[int, int, int]]
    deeper: dict[int, int]
    dirty: list[int] | None


@attrs.define(eq=False)
class SessionResult:
    """How an exchange went, for whoever schedules the next."""

    is_equal: bool = False
    is_explained: bool = True
    was_walk: bool = False
    more: bool = False
    """Whether there was more to repair than one exchange does."""

    refused: int = 0
    gained: int = 0
    """Records refused, and records and ghosts taken, on either side."""


@attrs.define(eq=False)
class Session:
    """One exchange with one peer."""

    ground: ExchangeGround
    view: PeerView
    started_ms: int
    comparable: BitMap = attrs.field(factory=BitMap)
    levels: dict[int, int] = attrs.field(factory=dict)
    """Levels of the peer's trees, where they turned out lower than ours."""

    one_way: bool = False
    """We are no owner of what is compared: we bring what the peer lacks and take nothing."""

    outdated: BitMap = attrs.field(factory=BitMap)
    """Stale partitions of ours that are brought up to date: what differs there and is older than ``keep_from_ms`` is
    discarded first."""

    keep_from_ms: int = 0
    result: SessionResult = attrs.field(factory=SessionResult)

    # Comparing

    def open(self) -> Steps[Compared]:
        """Compare the top; agree with the peer on the partitions that are compared."""
        for _ in range(_OPEN_TRIES):
            self.comparable = self.view.shared - self.ground.excluded(self.view)
            compared = yield from self._compare([TOP])
            if compared.outcome == WAS_COMPARED:
                return compared
        raise GaveUp

    def narrow(self, frontier: Iterable[int], limit: int = SUSPECT_LIMIT) -> Steps[list[int]]:
        """Return the leaves below ``frontier`` whose digests differ, at most about ``limit`` of them."""
        found = yield from self.differing(frontier, limit)
        return sorted(found)

    def differing(self, frontier: Iterable[int], limit: int = SUSPECT_LIMIT) -> Steps[dict[int, int]]:
        """Return, for each leaf below ``frontier`` that differs, the XOR of both sides' digests."""
        ground, view = self.ground, self.view
        stack = sorted(frontier, reverse=True)
        found: dict[int, int] = {}
        while stack and len(found) < limit:
            batch = sorted({self._folded(node) for node in stack[-NODES_LIMIT:]})
            del stack[-NODES_LIMIT:]
            compared = yield from self._compare(batch)
            if compared.outcome != WAS_COMPARED:
                raise GaveUp
            self.levels.update(compared.deeper)
            again = {self._folded(node) for node in batch if self._is_deeper(node, compared.deeper)}
            for node, mine, theirs in compared.unequal:
                below = self._below(node)
                if below:
                    again.update(below)
                elif mine == theirs:
                    view.settle(node, 0)
                    view.clear([node], self.comparable, asked=True)
                else:
                    found[node] = mine ^ theirs
                    view.dirty.add_range(*ground.forest.ids(node))
            stack.extend(sorted(again, reverse=True))
        self.result.more |= bool(stack)
        return found

    def frontier(self, theirs: list[int] | None) -> list[int]:
        """Return where to look after the tops differed: leaves known as changed, or the first step of a walk."""
        ground, view = self.ground, self.view
        now_s = ground.port.now_s
        walk = view.walk or view.unexplained >= _UNEXPLAINED_LIMIT or now_s >= view.walk_due_s
        if not walk and theirs is not None:
            leaves = ground.forest.leaves(view.dirty, self.comparable, ground.engine.tree_level)
            mine = list(islice(leaves, DIRECT_LIMIT + 1))
            if len(mine) <= DIRECT_LIMIT:
                roots = [ground.forest.node(partition, 0, 0) for partition in view.requested & self.comparable]
                return sorted({*mine, *theirs, *roots})
        self.result.was_walk = True
        ground.counters.walks += 1
        return self._below(TOP)

    def _compare(self, nodes: list[int]) -> Steps[Compared]:
        """Ask whether nodes have the digests that we expect; clear marks where they have."""
        ground, view = self.ground, self.view
        engine, comparable = ground.engine, self.comparable
        for _ in range(_NOT_NOW_TRIES):
            if engine.sweep(ground.port.now_ms):
                if any(self._folded(node) != node for node in nodes):
                    raise GaveUp  # a tree has shrunk meanwhile
                ground.absorb()
                view.fresh.clear()
                mine = ground.digests(nodes, comparable)
                expected = [view.expected(node, digest) for node, digest in zip(nodes, mine, strict=True)]
                answer = yield Ask(
                    COMPARE,
                    (
                        ground.state_for(view),
                        pack_partitions(ground.excluded(view)),
                        pack_numbers("I", nodes),
                        pack_numbers("Q", expected),
                    ),
                )
                outcome = answer[4]
                view.note_state(*unpack_state(answer[3], ground.port.placement.numbers_end))
                if outcome == OTHER_SET:
                    return Compared(OTHER_SET, [], {}, None)
                if outcome == WAS_COMPARED:
                    ground.absorb()
                    return self._read(nodes, mine, answer)
            yield Pause(_NOT_NOW_PAUSE_S)
        raise GaveUp

    def _read(self, nodes: list[int], mine: Iterable[int], answer: list[object]) -> Compared:
        """Take an answer apart, and clear what was found equal."""
        ground, view = self.ground, self.view
        positions = unpack_numbers("H", answer[5], NODES_LIMIT)
        theirs = unpack_numbers("Q", answer[6], NODES_LIMIT)
        deeper = self._read_levels(answer[7])
        digests = list(mine)
        unequal = [
            (nodes[position], digests[position], digest) for position, digest in zip(positions, theirs, strict=True)
        ]
        differing = {node for node, _, _ in unequal}
        equal = [node for node in nodes if node not in differing and not self._is_deeper(node, deeper)]
        view.clear(equal, self.comparable, asked=True)
        dirty = None if answer[8] is None else list(unpack_numbers("I", answer[8], DIRECT_LIMIT))
        forest = ground.forest
        if dirty and not all(forest.is_node(n) and forest.level(n) >= 0 for n in dirty):
            raise ValueError("changed leaves: got a number that is no leaf")
        if dirty is not None:
            dirty = [node for node in dirty if forest.partition(node) in self.comparable]
        return Compared(WAS_COMPARED, unequal, deeper, dirty)

    def _read_levels(self, levels: object) -> dict[int, int]:
        placement = self.ground.port.placement
        if not isinstance(levels, list) or len(levels) > DEEPER_LIMIT:
            raise ValueError(f"levels: got {levels!r:.80}, expected at most {DEEPER_LIMIT} pairs")
        found: dict[int, int] = {}
        for partition, level in levels:
            if type(partition) is not int or type(level) is not int or not placement.has(partition):
                raise ValueError(f"levels: got {partition!r:.40}, {level!r:.40}, expected a partition and its level")
            if not 0 <= level < PREFIX_BITS:
                raise ValueError(f"levels: got level {level}, expected 0 to {PREFIX_BITS - 1}")
            found[partition] = level
        return found

    # Shapes

    def _limit(self, partition: int) -> int:
        """Return the level at which both sides' trees of a partition can be compared.

        Where leaves are settled one level higher up it is that level: the other side's tree was less deep then, and to
        ask as deep as ours would open again what is settled, at every exchange.
        """
        level = min(self.ground.engine.tree_level(partition), self.levels.get(partition, PREFIX_BITS))
        return level - 1 if self.view.settled.level(partition) == level - 1 else level

    def _folded(self, node: int) -> int:
        forest = self.ground.forest
        if forest.level(node) <= 0:
            return node
        return forest.fold(node, self._limit(forest.partition(node)))

    def _is_deeper(self, node: int, deeper: dict[int, int]) -> bool:
        forest = self.ground.forest
        level = forest.level(node)
        return bool(deeper) and level > 0 and level > deeper.get(forest.partition(node), PREFIX_BITS)

    def _below(self, node: int) -> list[int]:
        """Return the next nodes of a walk below one that differs; none below a leaf."""
        forest = self.ground.forest
        level = forest.level(node)
        if level < 0:
            step = min(WALK_LEVELS, -level)
            below = range(node << step, node + 1 << step)
            comparable = self.comparable
            return [n for n in below if comparable.range_cardinality(*forest.partitions(n))]
        step = min(WALK_LEVELS, self._limit(forest.partition(node)) - level)
        return list(range(node << step, node + 1 << step)) if step > 0 else []
