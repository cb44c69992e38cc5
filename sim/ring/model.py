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

import heapq
import random
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from dynacache.placement.table import MemberState

from .table import (
    BEING_REMOVED,
    CONDEMNED,
    FULL,
    GONE,
    NODES,
    TRANSITIONS,
    Entry,
    View,
    first_view,
    held_throughout,
    majority,
    merge,
    new_owners,
    old_owners,
    overlap,
    put,
    quorum_key,
    read_owners,
    write_sets,
)

__all__ = ["MUTATIONS", "Outcome", "run"]

S = MemberState
MUTATIONS = (
    "clear_at_once",
    "early_left",
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
_WRITE_END = 150.0
_READ_END = 170.0
_FAULT_END = 130.0
_END = 600.0
_OPERATION_TIMEOUT = 25.0


@attrs.frozen
class Outcome:
    """What one run showed."""

    stale_reads: int
    lost: bool
    unfinished: bool
    acknowledged: int
    reads: int
    changes: tuple[str, ...]


@attrs.define(eq=False)
class _Node:
    """One node: ``claims`` are those that confirmed our table while it named no other transition; ``confirmed`` those
    that confirmed our own state; ``removals`` those that confirmed that another is being removed, by name."""

    name: str
    view: View
    up: bool = True
    warming: bool = False
    data: set[int] = attrs.field(factory=set)
    sources: dict[str, bool] = attrs.field(factory=dict)
    claims: set[str] = attrs.field(factory=set)
    confirmed: set[str] = attrs.field(factory=set)
    complete: set[str] = attrs.field(factory=set)
    removals: dict[str, set[str]] = attrs.field(factory=dict)
    handed: set[str] = attrs.field(factory=set)
    wants: MemberState | None = None

    @property
    def entry(self) -> Entry:
        return self.view[NODES.index(self.name)]


class _Run:
    """One seed."""

    def __init__(self, seed: int, mutation: str) -> None:
        self.random = random.Random(seed)
        self.mutation = mutation
        self.now = 0.0
        self.queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.count = 0
        self.loss = self.random.choice([0.0, 0.05, 0.2])
        self.nodes = {name: _Node(name, first_view()) for name in NODES}
        self.coordinators = [first_view()] * 3
        self.side: dict[str | int, int] = {}
        self.acknowledged: dict[int, float] = {}
        self.stale_reads = 0
        self.reads = 0
        self.changes: list[str] = []
        self.budget = 1
        self.ambush = self.random.choice([0.0, 0.1, 0.5])

    # The world

    def at(self, delay: float, act: Callable[..., None], *arguments: Any) -> None:
        """Do something later."""
        self.count += 1
        heapq.heappush(self.queue, (self.now + delay, self.count, act, arguments))

    def send(self, source: str | int, target: str | int, act: Callable[..., None], *arguments: Any) -> None:
        """Let a message travel, if it is not lost and the two are on one side when it arrives."""
        if self.random.random() < self.loss:
            return
        delay = self.random.expovariate(1) * (15 if self.random.random() < 0.08 else 1)

        def arrive() -> None:
            if self.side.get(source) == self.side.get(target):
                act(*arguments)

        self.at(delay, arrive)

    def play(self) -> Outcome:
        """Run the seed."""
        for number in range(3):
            self.at(self.random.random() * 2, self.write, number)
            self.at(self.random.random() * 2, self.read, number)
        for name in NODES:
            self.at(self.random.random() * 4, self.tick, name)
        self._draw_schedule()
        while self.queue and self.queue[0][0] < _END:
            self.now, _, act, arguments = heapq.heappop(self.queue)
            act(*arguments)
        lost, unfinished = self._judge()
        return Outcome(self.stale_reads, lost, unfinished, len(self.acknowledged), self.reads, tuple(self.changes))

    def _draw_schedule(self) -> None:
        draw = self.random
        wishes = draw.choice([["X"], ["X"], ["C"], ["A"], ["X", "C"], ["C", "X"], [], ["X", "A"], ["A", "X"]])
        for name in wishes:
            self.at(draw.uniform(5, 70), self.wish, name)
        for _ in range(draw.choice([0, 0, 1, 1, 2])):
            self.at(draw.uniform(5, 100), self.cut)
        if draw.random() < 0.6:
            self.at(draw.uniform(5, 100), self.crash, draw.choice(NODES))

    def _judge(self) -> tuple[bool, bool]:
        up = [node for node in self.nodes.values() if node.up]
        view = up[0].view
        between = any(entry.state in TRANSITIONS or entry.state is S.REMOVING for entry in view)
        owners = [self.nodes[name] for name in sorted(read_owners(view))]
        unfinished = between or any(node.view != view for node in up) or any(node.warming for node in owners)
        complete = [node.data for node in owners if node.up and not node.warming]
        pairs = [one | other for at, one in enumerate(complete) for other in complete[at + 1 :]]
        everything = set(self.acknowledged)
        lost = any(everything - pair for pair in pairs) or not everything <= set().union(*complete)
        return lost and not unfinished, unfinished

    # Faults

    def cut(self) -> None:
        """Part one or two nodes, with a coordinator or not, from the rest for a while."""
        if self.side:
            return
        apart: list[str | int] = [*self.random.sample(NODES, self.random.choice([1, 2, 2]))]
        if self.random.random() < 0.8:
            apart.append(self.random.randrange(3))
        self.side = dict.fromkeys(apart, 1)
        self.at(self.random.uniform(10, max(11.0, _FAULT_END - self.now)), self.heal)
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
        if fate < 0.7:
            self.at(self.random.uniform(_OPERATION_TIMEOUT, 70), self.restart, name)
        if fate > 0.4:
            self.at(self.random.uniform(2, 40), self.remove, name)

    def restart(self, name: str) -> None:
        """Start again with an empty memory and the table of whoever answers first."""
        node = self.nodes[name]
        peers = [each for each in self.nodes.values() if each.up and self.side.get(each.name) == self.side.get(name)]
        if not peers:
            self.at(5, self.restart, name)
            return
        known = self.random.choice(peers).view
        self.nodes[name] = node = _Node(name, known, wants=node.wants)
        entry = node.entry
        if entry.state in (S.LEFT, S.REMOVED, S.REMOVING):
            entry = Entry(entry.place + 1, 0, entry.generation + 1, 1, S.OUTSIDE)
        else:
            place = entry.place + (self.mutation == "restart_takes_new_place")
            entry = Entry(place, entry.removal, entry.generation + 1, entry.version + 1, entry.written)
        node.warming = self.mutation != "restart_complete"
        node.view = put(known, name, entry)

    def remove(self, name: str) -> None:
        """Somebody on the other side, or after the death of the node, removes it."""
        others = [
            node
            for node in self.nodes.values()
            if node.up
            and node.name != name
            and (not self.nodes[name].up or self.side.get(node.name) != self.side.get(name))
        ]
        if not others or (self.nodes[name].up and self.budget < 1):
            return
        remover = self.random.choice(others)
        entry = remover.view[NODES.index(name)]
        if (entry.state not in TRANSITIONS and entry.state is not S.NORMAL) or entry.removal:
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
            node.wants = S.JOINING if node.entry.state is S.OUTSIDE else S.LEAVING

    # Tables

    def learn(self, node: _Node, view: View) -> None:
        """Take a newer table, and mark what was gained by it as incomplete."""
        before, after = node.view, merge(node.view, view)
        if after == before:
            return
        node.view = after
        if before[NODES.index(node.name)] != after[NODES.index(node.name)]:
            node.claims.clear()
            node.confirmed.clear()
            node.complete.clear()
        if quorum_key(before) != quorum_key(after):
            node.handed.clear()
        owners = frozenset().union(*write_sets(after))
        held = held_throughout(before, after, node.name)
        if self.mutation == "skip_unnoticed":
            held = node.name in frozenset().union(*write_sets(before)) & owners
        gained_by_removal = node.name in old_owners(after) and self.mutation == "removal_gains_complete"
        if node.name in owners and not held and not gained_by_removal:
            node.warming = True
            node.sources.clear()

    def change(self, node: _Node, state: MemberState) -> None:
        """Write a node's own entry."""
        entry = node.entry
        self.changes.append(f"{node.name} {state.name}")
        if self.random.random() < self.ambush and self.now < _FAULT_END:
            self.at(self.random.random() * 2, self.cut)
        self.learn(node, put(node.view, node.name, entry._replace(version=entry.version + 1, written=state)))

    def serves(self, node: _Node, view: View) -> bool:
        """Merge a sender's table; tell whether it was ours."""
        agreed = quorum_key(node.view) == quorum_key(view)
        self.learn(node, view)
        return agreed or quorum_key(node.view) == quorum_key(view)

    # Reads and writes

    def write(self, number: int) -> None:
        """One quorum write of a coordinator."""
        unique = self.count
        sets = self.sets_at(number)
        acknowledged_by: set[str] = set()
        state = {"sets": sets, "done": False}
        end = self.now + _OPERATION_TIMEOUT

        def reply(name: str, ok: bool, view: View) -> None:
            before = self.coordinators[number]
            self.coordinators[number] = merge(before, view)
            if ok:
                acknowledged_by.add(name)
            elif not state["done"] and self.now < end:
                if self.mutation != "keep_old_sets":
                    state["sets"] = self.sets_at(number)
                ask(name)
                for other in sorted(frozenset().union(*state["sets"]) - acknowledged_by - {name}):
                    ask(other)
            if (
                not state["done"]
                and self.now < end
                and all(len(acknowledged_by & each) >= majority(each) for each in state["sets"])
            ):
                state["done"] = True
                self.acknowledged[unique] = self.now

        def store(name: str, view: View) -> None:
            node = self.nodes[name]
            if not node.up:
                return
            ok = self.serves(node, view) or self.mutation == "no_refusal"
            if ok:
                node.data.add(unique)
            self.send(name, number, reply, name, ok, node.view)

        def ask(name: str) -> None:
            self.send(number, name, store, name, self.coordinators[number])

        for name in sorted(frozenset().union(*sets)):
            ask(name)
        if self.now < _WRITE_END:
            self.at(self.random.expovariate(1 / 4), self.write, number)

    def sets_at(self, number: int) -> tuple[frozenset[str], ...]:
        """Return where a coordinator's write needs its quorums."""
        view = self.coordinators[number]
        return (read_owners(view),) if self.mutation == "no_joint_writes" else write_sets(view)

    def read(self, number: int) -> None:
        """One quorum read of a coordinator."""
        needed = set(self.acknowledged)
        found: dict[str, set[int]] = {}
        view = self.coordinators[number]
        done = [False]

        def reply(name: str, data: set[int] | None, theirs: View) -> None:
            self.coordinators[number] = merge(self.coordinators[number], theirs)
            if data is None or done[0]:
                return
            found[name] = data
            if len(found) >= majority(read_owners(view)):
                done[0] = True
                self.reads += 1
                self.stale_reads += bool(needed - set().union(*found.values()))

        def serve(name: str) -> None:
            node = self.nodes[name]
            if not node.up:
                return
            ok = self.serves(node, view) or self.mutation == "no_refusal"
            ok = ok and (not node.warming or self.mutation == "warming_counts")
            self.send(name, number, reply, name, set(node.data) if ok else None, node.view)

        for name in sorted(read_owners(view)):
            self.send(number, name, serve, name)
        if self.now < _READ_END:
            self.at(self.random.expovariate(1 / 3), self.read, number)

    # What a node does by itself

    def tick(self, name: str) -> None:
        """Gossip, fill what is incomplete, hand over what is lost, and go on with changes."""
        self.at(self.random.uniform(2, 6), self.tick, name)
        node = self.nodes[name]
        if not node.up:
            return
        peer = self.nodes[self.random.choice(NODES)]
        if peer.up and self.side.get(peer.name) == self.side.get(name):
            self.learn(peer, node.view)
            self.learn(node, peer.view)
        number = self.random.randrange(3)
        if self.side.get(number) == self.side.get(name):
            self.coordinators[number] = merge(self.coordinators[number], node.view)
        owned = frozenset().union(*write_sets(node.view))
        if name not in owned:
            node.warming = node.warming and bool(node.data)
            self.hand_over(node)
        elif node.warming:
            self.fill(node)
        self.go_on(node)
        self.finish_removals(node)

    def ask(self, node: _Node, peers: Iterable[str], answered: Callable[[_Node, View], None]) -> None:
        """Ask peers something that only a node with our table answers; others correct ours."""
        view, life = node.view, node
        for name in sorted(set(peers) - {node.name}):

            def arrive(name: str = name) -> None:
                peer = self.nodes[name]
                if not peer.up:
                    return
                unfenced = self.mutation == "no_fence" and answered.__name__ == "copied"
                ok = unfenced or self.serves(peer, view)
                data = set(peer.data)
                snapshot = attrs.evolve(peer, data=data)
                self.send(name, life.name, back, snapshot, ok)

            def back(peer: _Node, ok: bool) -> None:
                if self.nodes[life.name] is not life or not life.up:
                    return
                if ok:
                    answered(peer, view)
                else:
                    self.learn(life, peer.view)

            self.send(node.name, name, arrive)

    def fill(self, node: _Node) -> None:
        """Copy from the complete node that we displace, or from N - W + 1 complete owners."""
        old, new = old_owners(node.view), new_owners(node.view)
        lost, gained = old - new, new - old
        displaced = next(iter(lost)) if gained == {node.name} and len(lost) == 1 else ""

        def copied(peer: _Node, view: View) -> None:
            if not node.warming or quorum_key(node.view) != quorum_key(view) or peer.name not in old:
                return
            node.data |= peer.data
            node.sources[peer.name] = not peer.warming
            complete = {name for name, whole in node.sources.items() if whole and name in old}
            needed = 1 if self.mutation in ("one_source", "wrong_source") else overlap(old - {node.name})
            enough = displaced in complete or len(complete) >= needed
            if enough or old - {node.name} <= node.sources.keys():
                node.warming = False

        if self.mutation == "one_source" and displaced and self.nodes[displaced].up:
            self.ask(node, {displaced}, copied)
        else:
            self.ask(node, old, copied)

    def hand_over(self, node: _Node) -> None:
        """Give what we hold to the owners of today; forget it once N - W + 1 of them have it."""
        if not node.data:
            return
        if self.mutation == "clear_at_once":
            node.data.clear()
            return
        data = set(node.data)

        def taken(peer: _Node, view: View) -> None:
            if quorum_key(node.view) == quorum_key(view):
                self.nodes[peer.name].data |= data
                node.handed.add(peer.name)
                if len(node.handed & new_owners(node.view)) >= overlap(new_owners(node.view)):
                    node.data.clear()
                    node.warming = False

        self.ask(node, new_owners(node.view), taken)

    def go_on(self, node: _Node) -> None:
        """Take the next step of our own change, if it is time."""
        entry, state = node.entry, node.entry.state
        blocked = self.blocking(node.view, node.name)
        if state is S.OUTSIDE and node.wants is S.JOINING and not blocked and self.now < _FAULT_END:
            self.change(node, S.JOINING)
        elif state is S.NORMAL and node.wants is S.LEAVING and not blocked and self.now < _FAULT_END:
            node.wants = None
            self.change(node, S.LEAVING)
        elif state is S.REMOVED and not node.data:
            self.learn(node, put(node.view, node.name, Entry(entry.place + 1, 0, entry.generation, 1, S.OUTSIDE)))
            node.wants = S.JOINING
        elif state in (S.JOINING, S.LEAVING) and not entry.removal and self.yields(node):
            self.change(node, S.OUTSIDE if state is S.JOINING else S.NORMAL)
            node.wants = state
        elif state in TRANSITIONS and not entry.removal:
            self.confirm(node)

    def blocking(self, view: View, name: str) -> list[str]:
        """Return whose change, or removal, stands in the way of another change of ``name``."""
        return [
            other
            for other, entry in zip(NODES, view, strict=True)
            if other != name and (entry.state in TRANSITIONS or entry.state is S.REMOVING or entry.removal == CONDEMNED)
        ]

    def yields(self, node: _Node) -> bool:
        """Tell whether another's change has precedence over ours: a removal, a late one, or an earlier node's."""
        for other in self.blocking(node.view, node.name):
            theirs = node.view[NODES.index(other)]
            if theirs.removal or theirs.state in (S.SETTLING, S.RETIRING):
                return True
            if (theirs.generation, other) < (node.entry.generation, node.name):
                return True
        return False

    def voters(self, view: View) -> set[str]:
        """Return the members of whom more than half must know of a change before it takes effect."""
        return {
            name
            for name, entry in zip(NODES, view, strict=True)
            if entry.state in (S.NORMAL, S.SETTLING, S.LEAVING) and not entry.removal
        }

    def confirm(self, node: _Node) -> None:
        """Ask everyone for our table, and take the next step when enough have it."""
        ring = {name for name, entry in zip(NODES, node.view, strict=True) if entry.state in FULL | TRANSITIONS}
        state = node.entry

        def confirmed(peer: _Node, view: View) -> None:
            if node.entry != state:
                return
            node.confirmed.add(peer.name)
            if not self.blocking(view, node.name):
                node.claims.add(peer.name)
            if not peer.warming:
                node.complete.add(peer.name)
            self.step(node)

        if not self.blocking(node.view, node.name):
            node.claims.add(node.name)
        self.ask(node, ring, confirmed)
        self.step(node)

    def step(self, node: _Node) -> None:
        """Take the step that the confirmations allow."""
        state, view, bug = node.entry.state, node.view, self.mutation
        voters, new, old = self.voters(view), new_owners(view), old_owners(view)
        alone = not self.blocking(view, node.name) and 2 * len(node.claims & voters) > len(voters)
        alone = alone or bug == "no_claims"
        old_knows = len((node.confirmed | {node.name}) & old) >= overlap(old)
        if state is S.JOINING and alone and not node.warming:
            self.change(node, S.NORMAL if bug == "no_settling" else S.SETTLING)
        elif state is S.SETTLING and not node.warming and (old_knows or bug == "early_normal"):
            self.change(node, S.NORMAL)
        elif state is S.LEAVING and alone:
            if (new - old <= node.complete and len(new & node.complete) >= overlap(new)) or bug == "early_retiring":
                self.change(node, S.RETIRING)
        elif state is S.RETIRING and (old_knows or bug == "early_left"):
            self.change(node, S.LEFT)

    def finish_removals(self, node: _Node) -> None:
        """Bring removals one level further when enough know of them; whoever is in the ring may."""
        if node.entry.state not in (S.NORMAL, S.SETTLING, S.LEAVING):
            return
        for name, entry in zip(NODES, node.view, strict=True):
            if entry.removal in (CONDEMNED, BEING_REMOVED) and name != node.name:
                self.finish_removal(node, name, entry)

    def finish_removal(self, node: _Node, name: str, entry: Entry) -> None:
        """CONDEMNED becomes BEING_REMOVED when more than half know of it and of no other change; that becomes GONE when
        N - W + 1 of Old know of it."""
        known = node.removals.setdefault(f"{name} {entry}", set())
        condemned = entry.removal == CONDEMNED

        def counts(view: View) -> bool:
            others = [view[NODES.index(other)] for other in self.blocking(view, name)]
            joining = entry.written is S.JOINING
            return not condemned or all(
                other.removal == CONDEMNED and (joining or other.written is not S.JOINING) for other in others
            )

        def step() -> None:
            voters = self.voters(node.view)
            old = old_owners(node.view)
            enough = 2 * len(known & voters) > len(voters) if condemned else len(known & old) >= overlap(old)
            if node.view[NODES.index(name)] == entry and (enough or self.mutation == "early_removed"):
                self.learn(node, put(node.view, name, entry._replace(removal=entry.removal + 1)))

        def confirmed(peer: _Node, view: View) -> None:
            if counts(view):
                known.add(peer.name)
                step()

        if counts(node.view):
            known.add(node.name)
            step()
        self.ask(node, self.voters(node.view) | old_owners(node.view), confirmed)


def run(seed: int, mutation: str = "") -> Outcome:
    """Run one seed, with one rule left out if ``mutation`` names it."""
    return _Run(seed, mutation).play()
