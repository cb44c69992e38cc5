"""Ring changes under faults, as a model: random schedules, and a search for reads that miss what was acknowledged.

What: five nodes of ``sim.ring.table``, three coordinators with tables of their own, writes and reads at quorum, joins,
leaves, crashes that lose the memory, cut-off nodes, removals of whoever seems dead, and the rules of DESIGN section 6
with which each change is carried through. One run is one seed; a planted fault (``MUTATIONS``) leaves one rule out.

Checked: a quorum read returns every write acknowledged before it began; after the faults every two complete owners
together still hold all that was acknowledged; every change ends and all tables are equal.

Fault model: at most one node (W - 1) loses its memory or is removed while it is merely cut off, before all is whole
again; any node may be cut off for a while, alone or with another and with a coordinator.

Why a model: a real cluster in the simulator needs seconds for one schedule, this needs milliseconds, and it decides the
rules before they are built. It extends the model of single joins that the design started from.
"""

from collections.abc import Sequence

import attrs

from dynacache.placement.table import MemberState

from .clients import Clients
from .table import BEING_REMOVED, CONDEMNED, GONE, NODES, TRANSITIONS, Entry, put, read_owners
from .world import FAULT_END, OPERATION_TIMEOUT, Node

__all__ = ["MUTATIONS", "Outcome", "run"]

_S = MemberState
MUTATIONS = (
    "clear_at_once",
    "early_normal",
    "early_removed",
    "early_retiring",
    "keep_old_sets",
    "no_claims",
    "no_fence",
    "no_joint_writes",
    "no_refusal",
    "no_settling",
    "one_source",
    "removed_at_once",
    "removing_at_once",
    "restart_complete",
    "restart_takes_new_place",
    "removal_gains_complete",
    "skip_unnoticed",
    "warming_counts",
    "wrong_source",
)
_END = 600.0


@attrs.frozen
class Outcome:
    """What one run showed."""

    stale_reads: int
    lost: bool
    unfinished: bool
    acknowledged: int
    reads: int
    changes: tuple[str, ...]


class _Run(Clients):
    """One seed."""

    def outcome(self) -> Outcome:
        """Run it, and judge."""
        for number in range(3):
            self.at(self.random.random() * 2, self.write, number)
            self.at(self.random.random() * 2, self.read, number)
        for name in NODES:
            self.at(self.random.random() * 4, self.tick, name)
        self._draw_schedule()
        self.play(_END)
        lost, unfinished = self._judge()
        return Outcome(self.stale_reads, lost, unfinished, len(self.acknowledged), self.reads, tuple(self.changes))

    def disturb(self) -> None:
        """Cut somebody off."""
        self.cut()

    def _draw_schedule(self) -> None:
        draw = self.random
        wishes = draw.choice([["X"], ["X"], ["C"], ["A"], ["X", "C"], ["C", "X"], [], ["X", "A"], ["A", "X"]])
        moment = draw.uniform(5, 70) if draw.random() < 0.3 else None
        for name in wishes:
            self.at(draw.uniform(5, 70) if moment is None else moment, self.wish, name)
        if moment is not None:
            self.at(moment - draw.random() * 3, self.cut, [draw.choice(wishes or NODES)])
        for _ in range(draw.choice([0, 0, 1, 1, 2])):
            self.at(draw.uniform(5, 100), self.cut)
        if draw.random() < 0.6:
            self.at(draw.uniform(5, 100), self.crash, draw.choice(NODES))

    def _judge(self) -> tuple[bool, bool]:
        up = [node for node in self.nodes.values() if node.up]
        view = up[0].view
        between = any(entry.state in TRANSITIONS or entry.state is _S.REMOVING for entry in view)
        owners = [self.nodes[name] for name in sorted(read_owners(view))]
        unfinished = between or any(node.view != view for node in up) or any(node.warming for node in owners)
        complete = [node.data for node in owners if node.up and not node.warming]
        pairs = [one | other for at, one in enumerate(complete) for other in complete[at + 1 :]]
        everything = set(self.acknowledged)
        lost = any(everything - pair for pair in pairs) or not everything <= set().union(*complete)
        return lost and not unfinished, unfinished

    def cut(self, first: Sequence[str] = ()) -> None:
        """Part one or two nodes (these first), with a coordinator or not, from the rest for a while."""
        if self.side:
            return
        count = max(len(first), self.random.choice([1, 2, 2]))
        drawn = [name for name in self.random.sample(NODES, len(NODES)) if name not in first]
        apart: list[str | int] = list([*first, *drawn][:count])
        if self.random.random() < 0.8:
            apart.append(self.random.randrange(3))
        self.side = dict.fromkeys(apart, 1)
        self.at(self.random.uniform(10, max(11.0, FAULT_END - self.now)), self.heal)
        if self.random.random() < 0.7:
            self.at(
                self.random.uniform(2, 40),
                self.remove,
                self.random.choice([each for each in apart if isinstance(each, str)]),
            )

    def heal(self) -> None:
        """Let everybody talk again."""
        self.side = {}

    def crash(self, name: str) -> None:
        """Lose a node's memory; it comes back empty, or it is removed, or both."""
        if self.budget < 1:
            return
        self.budget -= 1
        node = self.nodes[name]
        self.changes.append(f"crash {name} {node.entry.state.name}")
        node.up, node.data = False, set()
        fate = self.random.random()
        kind = self.random.random()
        if kind < 0.2 and not self.side and name in "ABC" and self.nodes["X"].entry.state is _S.OUTSIDE:
            self._forget(name)
            return
        if kind < 0.5:
            self.cut([name])
        if fate < 0.7:
            self.at(self.random.uniform(OPERATION_TIMEOUT, 70), self.restart, name)
        if fate > 0.4:
            self.at(self.random.uniform(2, 40), self.remove, name)

    def _forget(self, name: str) -> None:
        """Let a dead node be removed, and start again from one that has not heard of that, beside an owner that has."""
        self.side = {name: 2, "X": 2}
        self.at(5, self.remove, name)
        self.at(60, self.restart, name)
        self.at(60 + self.random.random(), self.heal)
        self.at(
            61 + self.random.random() * 3, self.cut, [name, self.random.choice([each for each in "AB" if each != name])]
        )

    def restart(self, name: str) -> None:
        """Start again with an empty memory and the table of whoever answers first."""
        node = self.nodes[name]
        peers = [each for each in self.nodes.values() if each.up and self.together(each.name, name)]
        if not peers:
            self.at(5, self.restart, name)
            return
        known = self.random.choice(peers).view
        self.nodes[name] = node = Node(name, known, wants=node.wants)
        entry = node.entry
        if entry.state in (_S.LEFT, _S.REMOVED, _S.REMOVING):
            entry = Entry(entry.place + 1, 0, entry.generation + 1, 1, _S.OUTSIDE)
        else:
            place = entry.place + (self.mutation == "restart_takes_new_place")
            entry = Entry(place, entry.removal, entry.generation + 1, entry.version, entry.written)
        node.warming = self.mutation != "restart_complete"
        node.view = put(known, name, entry)

    def remove(self, name: str) -> None:
        """Somebody on the other side, or after the death of the node, removes it."""
        others = [
            node
            for node in self.nodes.values()
            if node.up and node.name != name and (not self.nodes[name].up or not self.together(node.name, name))
        ]
        if not others or (self.nodes[name].up and self.budget < 1):
            return
        remover = self.random.choice(others)
        entry = remover.view[NODES.index(name)]
        if (entry.state not in TRANSITIONS and entry.state is not _S.NORMAL) or entry.removal:
            if not self.nodes[name].up:
                self.at(20, self.remove, name)
            return
        if self.nodes[name].up:
            self.budget -= 1
        self.changes.append(f"remove {name} {entry.state.name}{' cut' if self.nodes[name].up else ''}")
        level = {"removed_at_once": GONE, "removing_at_once": BEING_REMOVED}.get(self.mutation, CONDEMNED)
        self.learn(remover, put(remover.view, name, entry._replace(removal=level)))

    def wish(self, name: str) -> None:
        """Ask a node to join or to leave."""
        node = self.nodes[name]
        if node.up:
            node.wants = _S.JOINING if node.entry.state is _S.OUTSIDE else _S.LEAVING


def run(seed: int, mutation: str = "") -> Outcome:
    """Run one seed, with one rule left out if ``mutation`` names it."""
    return _Run(seed, mutation).outcome()
