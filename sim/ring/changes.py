"""Changes of place in the ring model: joining, leaving, removing, coming back.

What: what a node does by itself from time to time: gossip, fill and hand over (``copies``), go on with its own change,
and bring the removal of others to an end.

Invariant: as ``repair.ring_rules``, ``ring_change`` and ``ring_removal`` have it; each ``mutation`` named here breaks
one rule.

Why the rules are written a second time: the product's must follow the model's, and the model was there first.
"""

from dynacache.placement.table import MemberState

from .copies import Copies
from .table import (
    BEING_REMOVED,
    CONDEMNED,
    FULL,
    NODES,
    TRANSITIONS,
    Entry,
    View,
    enough_know,
    merge,
    new_owners,
    old_owners,
    overlap,
    put,
)
from .world import FAULT_END, Node, owners_of

__all__ = ["Changes"]

_S = MemberState


class Changes(Copies):
    """A world whose nodes change their places."""

    # What a node does by itself

    def tick(self, name: str) -> None:
        """Gossip, fill what is incomplete, hand over what is lost, and go on with changes."""
        self.at(self.random.uniform(2, 6), self.tick, name)
        node = self.nodes[name]
        if not node.up:
            return
        peer = self.nodes[self.random.choice(NODES)]
        gossips = self.random.random() < self.gossip or self.now > FAULT_END
        if gossips and peer.up and self.together(peer.name, name):
            self.learn(peer, node.view)
            self.learn(node, peer.view)
        number = self.random.randrange(3)
        if gossips and self.together(number, name):
            self.coordinators[number] = merge(self.coordinators[number], node.view)
        owned = owners_of(node.view)
        if name not in owned:
            node.warming = node.warming and bool(node.data)
            self.hand_over(node)
        elif node.warming:
            self.fill(node)
        self.go_on(node)
        self.finish_removals(node)

    def go_on(self, node: Node) -> None:
        """Take the next step of our own change, if it is time."""
        entry, state = node.entry, node.entry.state
        blocked = self.blocking(node.view, node.name)
        if state is _S.OUTSIDE and node.wants is _S.JOINING and not blocked and self.now < FAULT_END:
            self.change(node, _S.JOINING)
        elif state is _S.NORMAL and node.wants is _S.LEAVING and not blocked and self.now < FAULT_END:
            node.wants = None
            self.change(node, _S.LEAVING)
        elif state is _S.REMOVED and not node.data:
            self.write_own(node, Entry(entry.place + 1, 0, entry.generation, 1, _S.OUTSIDE))
            node.wants = _S.JOINING
        elif state in (_S.JOINING, _S.LEAVING) and not entry.removal and self.yields(node):
            self.change(node, _S.OUTSIDE if state is _S.JOINING else _S.NORMAL)
            node.wants = state
        elif state in TRANSITIONS and not entry.removal:
            self.confirm(node)

    def blocking(self, view: View, name: str) -> list[str]:
        """Return whose change, or removal, stands in the way of another change of ``name``."""
        return [
            other
            for other, entry in zip(NODES, view, strict=True)
            if other != name
            and (entry.state in TRANSITIONS or entry.state is _S.REMOVING or entry.removal == CONDEMNED)
        ]

    def yields(self, node: Node) -> bool:
        """Tell whether another's change has precedence over ours: a removal, a late one, or an earlier node's."""
        for other in self.blocking(node.view, node.name):
            theirs = node.view[NODES.index(other)]
            if theirs.removal or theirs.state in (_S.SETTLING, _S.RETIRING):
                return True
            if (theirs.generation, other) < (node.entry.generation, node.name):
                return True
        return False

    def voters(self, view: View) -> set[str]:
        """Return the members of whom more than half must know of a change before it takes effect."""
        return {
            name
            for name, entry in zip(NODES, view, strict=True)
            if entry.state in (_S.NORMAL, _S.SETTLING, _S.LEAVING) and not entry.removal
        }

    def confirm(self, node: Node) -> None:
        """Ask everyone for our table, and take the next step when enough have it."""
        ring = {name for name, entry in zip(NODES, node.view, strict=True) if entry.state in FULL | TRANSITIONS}
        state = node.entry

        def confirmed(peer: Node, view: View) -> None:
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

    def step(self, node: Node) -> None:
        """Take the step that the confirmations allow."""
        state, view, bug = node.entry.state, node.view, self.mutation
        voters, new, old = self.voters(view), new_owners(view), old_owners(view)
        alone = not self.blocking(view, node.name) and 2 * len(node.claims & voters) > len(voters)
        alone = alone or bug == "no_claims"
        old_knows = enough_know(node.confirmed | {node.name}, old)
        if state is _S.JOINING and alone and not node.warming:
            self.change(node, _S.NORMAL if bug == "no_settling" else _S.SETTLING)
        elif state is _S.SETTLING and not node.warming and (old_knows or bug == "early_normal"):
            self.change(node, _S.NORMAL)
        elif state is _S.LEAVING and alone:
            if (new - old <= node.complete and len(new & node.complete) >= overlap(new)) or bug == "early_retiring":
                self.change(node, _S.RETIRING)
        elif state is _S.RETIRING and old_knows:
            self.change(node, _S.LEFT)

    def finish_removals(self, node: Node) -> None:
        """Bring removals one level further when enough know of them; whoever is in the ring may."""
        if node.entry.state not in (_S.NORMAL, _S.SETTLING, _S.LEAVING):
            return
        for name, entry in zip(NODES, node.view, strict=True):
            if entry.removal in (CONDEMNED, BEING_REMOVED) and name != node.name:
                self.finish_removal(node, name, entry)

    def finish_removal(self, node: Node, name: str, entry: Entry) -> None:
        """CONDEMNED becomes BEING_REMOVED when more than half know of it and of no other change; that becomes GONE when
        N - W + 1 of Old know of it."""
        known = node.removals.setdefault(f"{name} {entry}", set())
        condemned = entry.removal == CONDEMNED

        def counts(view: View) -> bool:
            others = [view[NODES.index(other)] for other in self.blocking(view, name)]
            joining = entry.written is _S.JOINING
            return not condemned or all(
                other.removal == CONDEMNED and (joining or other.written is not _S.JOINING) for other in others
            )

        def step() -> None:
            voters = self.voters(node.view)
            old = old_owners(node.view)
            agreed = 2 * len(known & voters) > len(voters) or self.mutation == "no_claims"
            enough = agreed if condemned else enough_know(known, old)
            if node.view[NODES.index(name)] == entry and (enough or self.mutation == "early_removed"):
                self.learn(node, put(node.view, name, entry._replace(removal=entry.removal + 1)))

        def confirmed(peer: Node, view: View) -> None:
            if counts(view):
                known.add(peer.name)
                step()

        if counts(node.view):
            known.add(node.name)
            step()
        self.ask(node, self.voters(node.view) | old_owners(node.view), confirmed)
