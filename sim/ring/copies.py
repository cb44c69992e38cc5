"""Tables and copies in the ring model: who refuses whom, what is incomplete, how it is filled, when it may go.

What: the part of a node that keeps data where the member table wants them. A request carries its sender's table; two
nodes serve each other only when both hold the same, so a copy is taken behind a fence.

Invariant: as ``placement.continuity`` and ``repair.warming`` have it; each ``mutation`` named here breaks one rule.

Why apart from the changes themselves: these rules hold whatever changes, and the product has them in other modules too.
"""

from collections.abc import Callable, Iterable

import attrs

from dynacache.placement.table import MemberState

from .table import NODES, Entry, View, held_throughout, merge, new_owners, old_owners, overlap, put, quorum_key
from .world import FAULT_END, Node, World, owners_of

__all__ = ["Copies"]


class Copies(World):
    """A world whose nodes keep tables and copies."""

    # Tables

    def learn(self, node: Node, view: View) -> None:
        """Take a newer table, and mark what was gained by it as incomplete."""
        before, after = node.view, merge(node.view, view)
        if after == before:
            return
        node.view = after
        mine, own = before[NODES.index(node.name)], node.entry
        if mine != own:
            node.claims.clear()
            node.confirmed.clear()
            node.complete.clear()
        if quorum_key(before) != quorum_key(after):
            node.handed.clear()
        owners = owners_of(after)
        held = held_throughout(before, after, node.name)
        if (mine.place, mine.version) != (own.place, own.version) and not node.is_writing:
            held = False  # it had come further than the table told that it was restarted with
        if self.mutation == "skip_unnoticed":
            held = node.name in owners_of(before) & owners
        gained_by_removal = node.name in old_owners(after) and self.mutation == "removal_gains_complete"
        if node.name in owners and not held and not gained_by_removal:
            node.warming = True
            node.sources.clear()

    def change(self, node: Node, state: MemberState) -> None:
        """Write a node's own entry."""
        entry = node.entry
        self.changes.append(f"{node.name} {state.name}")
        if self.random.random() < self.ambush and self.now < FAULT_END:
            self.at(self.random.random() * 2, self.disturb)
        self.write_own(node, entry._replace(version=entry.version + 1, written=state))

    def write_own(self, node: Node, entry: Entry) -> None:
        """Put an entry that the node writes about itself into its table."""
        node.is_writing = True
        self.learn(node, put(node.view, node.name, entry))
        node.is_writing = False

    def serves(self, node: Node, view: View) -> bool:
        """Merge a sender's table; tell whether it was ours."""
        agreed = quorum_key(node.view) == quorum_key(view)
        self.learn(node, view)
        return agreed or quorum_key(node.view) == quorum_key(view)

    def ask(self, node: Node, peers: Iterable[str], answered: Callable[[Node, View], None]) -> None:
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

            def back(peer: Node, ok: bool) -> None:
                if self.nodes[life.name] is not life or not life.up:
                    return
                if ok:
                    answered(peer, view)
                else:
                    self.learn(life, peer.view)

            self.send(node.name, name, arrive)

    def fill(self, node: Node) -> None:
        """Copy from the complete node that we displace, or from N - W + 1 complete owners."""
        old, new = old_owners(node.view), new_owners(node.view)
        lost, gained = old - new, new - old
        displaced = next(iter(lost)) if gained == {node.name} and len(lost) == 1 else ""

        def copied(peer: Node, view: View) -> None:
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

    def hand_over(self, node: Node) -> None:
        """Give what we hold to the owners of today; forget it once N - W + 1 of them have it."""
        if not node.data:
            return
        if self.mutation == "clear_at_once":
            node.data.clear()
            return
        data = set(node.data)

        def taken(peer: Node, view: View) -> None:
            if quorum_key(node.view) == quorum_key(view):
                self.nodes[peer.name].data |= data
                node.handed.add(peer.name)
                if len(node.handed & new_owners(node.view)) >= overlap(new_owners(node.view)):
                    node.data.clear()
                    node.warming = False

        self.ask(node, new_owners(node.view), taken)
