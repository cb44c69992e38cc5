"""Reads and writes of the ring model: quorums over the owner sets of the table that each coordinator holds.

What: three coordinators, each with a table that may be old, write single values and read all of them at quorum.

Invariant: a write is acknowledged when it has its quorum in each of the three sets of the table that it was last sent
under; a read counts answers of nodes that are complete, and remembers every acknowledged write that it misses.

Why values are never overwritten: what a read must find is then simply everything that was acknowledged before it began.
"""

import attrs

from .changes import Changes
from .table import View, majority, merge, read_owners, write_sets
from .world import OPERATION_TIMEOUT, READ_END, WRITE_END

__all__ = ["Clients"]


@attrs.define(eq=False)
class _Write:
    """One write under way."""

    unique: int
    number: int
    sets: tuple[frozenset[str], ...]
    end: float
    taken: set[str] = attrs.field(factory=set)
    done: bool = False


def _all(sets: tuple[frozenset[str], ...]) -> frozenset[str]:
    return frozenset[str]().union(*sets)


class Clients(Changes):
    """A world with reads and writes."""

    def write(self, number: int) -> None:
        """One quorum write of a coordinator."""
        write = _Write(self.count, number, self.sets_at(number), self.now + OPERATION_TIMEOUT)
        for name in sorted(_all(write.sets)):
            self._ask(write, name)
        if self.now < WRITE_END:
            self.at(self.random.expovariate(1 / 4), self.write, number)

    def _ask(self, write: "_Write", name: str) -> None:
        self.send(write.number, name, self._store, write, name, self.coordinators[write.number])

    def _store(self, write: "_Write", name: str, view: View) -> None:
        node = self.nodes[name]
        if not node.up:
            return
        ok = self.serves(node, view) or self.mutation == "no_refusal"
        if ok:
            node.data.add(write.unique)
        self.send(name, write.number, self._stored, write, name, ok, node.view)

    def _stored(self, write: "_Write", name: str, ok: bool, view: View) -> None:
        """Count an acknowledgement; after a refusal go on under the newer table, with its owners."""
        number = write.number
        self.coordinators[number] = merge(self.coordinators[number], view)
        if ok:
            write.taken.add(name)
        if write.done or self.now >= write.end:
            return
        if not ok:
            if self.mutation != "keep_old_sets":
                write.sets = self.sets_at(number)
            self._ask(write, name)
            for other in sorted(_all(write.sets) - write.taken - {name}):
                self._ask(write, other)
        if all(len(write.taken & owners) >= majority(owners) for owners in write.sets):
            write.done = True
            self.acknowledged[write.unique] = self.now

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
        if self.now < READ_END:
            self.at(self.random.expovariate(1 / 3), self.read, number)
