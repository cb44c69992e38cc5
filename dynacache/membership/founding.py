"""How N processes without memory of earlier lives agree on one birth record.

What: each candidate gathers the candidates that exist. The lowest N node ids, each with its latest incarnation, are its
*round*: a pure function of what it knows, and since knowledge only grows, so do rounds. In each round::

    promise   I take part in no earlier round; the latest lock that I know of is L      (all N must promise)
    lock      all N promised: the founders are those of the latest lock reported,
              or, where there was none, the members of this round                       (all N must lock)
    decided   all N locked one round: its founders are the cluster's, for good

Invariant: two decisions never differ, while at every moment one process that holds the decision, or its lock, is
alive. This is single-decree Paxos (Lamport, "Paxos Made Simple") with the incarnations as ballots and all N as the only
quorum. A member that is killed comes back as another process: it raises the round, and everybody's promise in the new
round reports the lock of the old one, so the new round settles on the founders of the old and the newcomer joins them
as a restarted founder. Nobody promises before every candidate it knows of has answered it, so a lock held anywhere
among them is reported.

Why not one phase, complete when N signatures have come together: the first to see them may serve clients and admit
nodes, then die before the others saw them too. They would meet its restart, sign anew and found a second cluster.
(``tests/membership/test_birth.py`` plants exactly this and finds it.)
"""

from collections.abc import Iterable

import attrs

from dynacache.membership.birth_messages import MAX_CANDIDATES, Lock, Numbers, Promise, Standing
from dynacache.placement.birth_record import Candidate, Incarnations
from dynacache.placement.checks import U64_MAX
from dynacache.types import NodeId

__all__ = ["MAX_RENUMBERINGS", "Founding", "is_later"]

MAX_RENUMBERINGS = 3
"""How often a process takes a higher incarnation because its name is known with one that is not lower than its own. A
clock set back explains one; more mean that another process with this name is alive."""


def is_later(one: Incarnations, other: Incarnations) -> bool:
    """Return whether a round comes after another: lower node ids first, then higher incarnations."""
    ids = tuple(node_id for node_id, _ in one)
    other_ids = tuple(node_id for node_id, _ in other)
    return ids < other_ids if ids != other_ids else one > other


def _latest(locks: Iterable[Lock | None]) -> Lock | None:
    latest: Lock | None = None
    for lock in locks:
        if lock is not None and (latest is None or is_later(lock.round, latest.round)):
            latest = lock
    return latest


@attrs.define
class Founding:
    """One candidate's part in the agreement."""

    me: Candidate
    numbers: Numbers
    decided: tuple[Candidate, ...] | None = None
    name_taken_by: Candidate | None = None
    """A rival with this node id; the process must not go on."""
    _known: dict[NodeId, Candidate] = attrs.field(factory=dict)
    _answered: dict[NodeId, int] = attrs.field(factory=dict)  # incarnation that answered and knows of us
    _promises: dict[NodeId, Promise] = attrs.field(factory=dict)
    _locks: dict[NodeId, Lock] = attrs.field(factory=dict)
    _latest_lock: Lock | None = None
    _renumberings: int = 0

    def __attrs_post_init__(self) -> None:
        self._known[self.me.node_id] = self.me

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates known, this one among them, in order of node id."""
        return tuple(self._known[node_id] for node_id in sorted(self._known))

    @property
    def round(self) -> Incarnations | None:
        """The present round, None while too few candidates are known."""
        if len(self._known) < self.numbers.founders:
            return None
        lowest = sorted(self._known)[: self.numbers.founders]
        return tuple((node_id, self._known[node_id].incarnation) for node_id in lowest)

    @property
    def unheard(self) -> list[Candidate]:
        """Candidates known by name only: they have not answered, or did not know of us when they did."""
        others = (candidate for candidate in self.candidates if candidate.node_id != self.me.node_id)
        return [other for other in others if self._answered.get(other.node_id) != other.incarnation]

    @property
    def unpromised(self) -> list[NodeId]:
        """Members of the present round whose promise for it has not come."""
        return [node_id for node_id, _ in self.round or () if not self._has_promised(node_id, self.round)]

    def standing(self) -> Standing:
        """Return this candidate's whole state."""
        own = self.me.node_id
        return Standing(own, self.numbers, self.candidates, self._promises.get(own), self._locks.get(own))

    def absorb(self, standing: Standing) -> None:
        """Take in what another candidate (or a late copy of our own words) says; harmless in any order, any number."""
        for candidate in standing.candidates:
            self._learn(candidate)
        reported = standing.promise.reported if standing.promise else None
        self._latest_lock = _latest((self._latest_lock, standing.lock, reported))
        sender = next((item for item in standing.candidates if item.node_id == standing.node_id), None)
        if sender is None or sender.node_id == self.me.node_id or sender != self._known.get(sender.node_id):
            return
        if self.me in standing.candidates:
            self._answered[sender.node_id] = sender.incarnation
        if standing.promise is not None and (sender.node_id, sender.incarnation) in standing.promise.round:
            self._promises[sender.node_id] = standing.promise
        if standing.lock is not None and (sender.node_id, sender.incarnation) in standing.lock.round:
            self._locks[sender.node_id] = standing.lock

    def advance(self, may_promise: bool) -> None:
        """Go as far as what is known allows: promise, lock, decide. ``may_promise``: all seeds have answered."""
        round_ = self.round
        me = (self.me.node_id, self.me.incarnation)
        if round_ is not None and me in round_ and self.decided is None:
            if may_promise and not self.unheard and not self._has_promised(self.me.node_id, round_):
                self._promises[self.me.node_id] = Promise(round_, self._latest_lock)
            if not self._has_locked(self.me.node_id, round_) and not self.unpromised:
                self._latest_lock = self._locks[self.me.node_id] = self._lock_of(round_)
        self._decide()

    def _lock_of(self, round_: Incarnations) -> Lock:
        reported = _latest(self._promises[node_id].reported for node_id, _ in round_)
        if reported is not None:
            return Lock(round_, reported.value)
        return Lock(round_, tuple(self._known[node_id] for node_id, _ in round_))

    def _decide(self) -> None:
        latest = self._latest_lock
        if latest is not None and all(self._has_locked(node_id, latest.round) for node_id, _ in latest.round):
            self.decided = latest.value

    def _has_promised(self, node_id: NodeId, round_: Incarnations | None) -> bool:
        promise = self._promises.get(node_id)
        return promise is not None and promise.round == round_

    def _has_locked(self, node_id: NodeId, round_: Incarnations) -> bool:
        lock = self._locks.get(node_id)
        return lock is not None and lock.round == round_

    def _learn(self, candidate: Candidate) -> None:
        known = self._known.get(candidate.node_id)
        if known is not None and candidate <= known:
            return
        if candidate.node_id == self.me.node_id:
            self._renumber(candidate)
            return
        self._known[candidate.node_id] = candidate
        if len(self._known) > MAX_CANDIDATES:
            # Rounds are made of the lowest ids, so the highest are the ones to forget.
            del self._known[max(node_id for node_id in self._known if node_id != self.me.node_id)]

    def _renumber(self, rival: Candidate) -> None:
        """Take an incarnation above one that is known under our name, as a process started later would have."""
        if self._renumberings == MAX_RENUMBERINGS or rival.incarnation == U64_MAX:
            self.name_taken_by = rival
            return
        self._renumberings += 1
        self.me = attrs.evolve(self.me, incarnation=rival.incarnation + 1)
        self._known[self.me.node_id] = self.me
        self._answered.clear()
