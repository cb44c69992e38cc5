"""How the catalogue reaches every node: pushed when it changes, pulled where something is missing.

What: a change made here goes to every linked peer at once (``CATALOGUE``), and those that hold it say so
(``CATALOGUE_TAKEN``): the change is acknowledged to its author at a level. Whatever a push did not reach is pulled
(``CATALOGUE_PULL``, ``CATALOGUE_PAGE``): when a link comes up, every few seconds from one peer in turn, and when a read
finds that a peer knows of changes that this node does not.

Invariant: ``pulled`` of a peer says that this node has taken everything up to that number of the peer's journal, of the
process that ``incarnation`` names. Until a link that has just come up has been asked once it counts as nothing, because
the peer may have started anew. A push moves it on only if it follows without a gap. So two nodes that can talk hold
equal maps within a few seconds, and a quorum read that asked a peer knows what that peer knew when it answered.

Where maps differ though nothing is missing by number (a node dropped what another still holds, or a wrong clock's
entries were removed) everything is pulled once more, rarely: ``_FULL_EVERY`` comparisons. An entry stamped so far ahead
that its author's clock must be wrong is not taken, and a page that holds one does not count as pulled.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from dynacache.coordination.catalogue import Catalogue, Entry, check_entry
from dynacache.coordination.namespaces import namespace_concerned
from dynacache.coordination.ports import CatalogueWaiter
from dynacache.coordination.shared import Shared
from dynacache.coordination.timeline import timeout_class_ms
from dynacache.errors import ClockUnsafe, DynacacheError, InvalidRequest, Overloaded
from dynacache.events import ConnectionId, Message
from dynacache.node.catalogue_change import GONE, Change, Levels
from dynacache.node.repair_port import NodeRepairPort
from dynacache.types import Level, NodeId
from dynacache.wire.messages import CATALOGUE, CATALOGUE_PAGE, CATALOGUE_PULL, CATALOGUE_TAKEN

if TYPE_CHECKING:
    from dynacache.node.members import Members

__all__ = ["COMPARE_S", "PAGE_LIMIT_BYTES", "CatalogueSync"]

COMPARE_S: Final = 3.0
"""Seconds between two comparisons with a peer, each time another one."""
PAGE_LIMIT_BYTES: Final = 256 * 1024
_PULL_TIMEOUT_MS = 1_000
_FULL_EVERY = 4
_ALL_BYTES = 1 << 62


@attrs.define(eq=False)
class _Peer:
    """What is known of one peer's journal. ``waiters``: the number waited for, the question whose complete answer is
    enough whatever the number (``asked`` counts questions), and who waits. ``knows``: it does not wait itself to hear
    of namespaces."""

    incarnation: int = 0
    pulled: int = 0
    confirmed: bool = False
    asking: bool = False
    knows: bool = True
    asked: int = 0
    mismatches: int = 0
    waiters: list[tuple[int, int, CatalogueWaiter]] = attrs.field(factory=list)


@attrs.define(eq=False)
class _Pull:
    """One question under way."""

    sync: "CatalogueSync"
    node_id: NodeId
    after: int
    number: int

    def answered(self, message: Message) -> None:
        """Take the page."""
        self.sync.page(self, message)

    def failed(self) -> None:
        """The peer cannot be asked: whoever waits must do without it."""
        self.sync.pull_failed(self.node_id)


@attrs.define(eq=False)
class CatalogueSync:
    """The protocol of one node's catalogue."""

    shared: Shared
    port: NodeRepairPort
    members: "Members"
    incarnation: int
    pushes: int = 0
    pulls: int = 0
    full_pulls: int = 0
    refused: int = 0
    _peers: dict[NodeId, _Peer] = attrs.field(factory=dict)
    _next_compare_s: float = 0.0
    _turn: int = 0
    _levels: Levels = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Levels are counted among the members."""
        self._levels = Levels(self.members)

    @property
    def catalogue(self) -> Catalogue:
        """The map."""
        return self.shared.catalogue

    # Changes made here

    def change(
        self,
        entries: Sequence[Entry],
        level: int,
        timeout_ms: int,
        finished: Callable[[DynacacheError | None], None],
    ) -> None:
        """Set entries here and everywhere; see ``CataloguePort.change``."""
        shared, catalogue = self.shared, self.shared.catalogue
        if not shared.clock_safe:
            raise ClockUnsafe("this node's clock differs from its peers'; what it dates now would be wrong")
        if level not in (Level.ONE, Level.QUORUM, Level.STRICT_QUORUM, Level.ALL):
            raise InvalidRequest(f"level: got {level!r}, expected one, quorum, strict_quorum or all")
        for entry in entries:
            check_entry(*entry)
        catalogue.require_room(sum(name not in catalogue.entries for name, _, _ in entries))
        before = catalogue.sequence
        concerned = [namespace_concerned(name) for name, _, _ in entries]
        factors = {shared.namespaces.factor(each) for each in concerned}
        for entry in entries:
            catalogue.merge(*entry)
        factors.update(shared.namespaces.factor(each) for each in concerned)
        if not shared.namespaces.is_known:
            factors.update(factor for factor, _ in self.members.table.factors)
        # With what listeners made of it: an entry that was folded away at once is not known to who lacks the fold.
        _, made = catalogue.after(before, _ALL_BYTES)
        linked = self._linked()
        waiting = {} if level == Level.ONE else {connection: node_id for node_id, connection in linked}
        names = dict.fromkeys(name for name, _, _ in (*entries, *made))
        held = [(name, *catalogue.entries[name]) for name in names if name in catalogue.entries]
        payload = [field for entry in held for field in entry]
        numbers = (self.incarnation, before, catalogue.sequence)

        def send(connections: tuple[ConnectionId, ...], change: Change) -> None:
            self.pushes += 1
            message = (CATALOGUE, change.request_id, shared.clock.last, *numbers, payload, shared.digest)
            shared.effects.shared.append((connections, message))

        change = Change(self._levels, level, finished, waiting, {shared.node_id}, send, frozenset(factors))
        if waiting:
            timeout_ms = timeout_class_ms(timeout_ms)
            change.request_id = shared.new_request(change, timeout_ms, timeout_ms)
        if linked:
            send(tuple(connection for _, connection in linked), change)
        if change.step():
            shared.pending.pop(change.request_id, None)

    # What peers send

    def serve(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        """Take a push, or answer a pull. Raises what a malformed one raises."""
        if not self._clock_accepted(message[2]):
            return
        if message[0] == CATALOGUE:
            self._push(connection, node_id, message)
        else:
            self._answer(connection, message)

    def _push(self, connection: ConnectionId, node_id: NodeId, message: Message) -> None:
        _, request_id, _, incarnation, before, newest, payload = message[:7]
        refused = self.refused
        if not self.shared.clock_safe or not self._take(payload) or self.refused != refused:
            return
        peer = self._peer(node_id)
        if peer.confirmed and peer.incarnation == incarnation and peer.pulled == before:
            peer.pulled = newest
            self._release(peer)
        if request_id and len(message) > 7 and message[7] != self.shared.digest:
            self.members.refuse_stale(connection, request_id)
        elif request_id:
            self.shared.effects.send(connection, (CATALOGUE_TAKEN, request_id, self.shared.clock.last))

    def _answer(self, connection: ConnectionId, message: Message) -> None:
        _, request_id, _, incarnation, after, digest = message[:6]
        catalogue = self.catalogue
        if type(after) is not int:
            raise TypeError("a number of a change")
        if incarnation != self.incarnation or after > catalogue.sequence:
            after = 0
        reached, entries = catalogue.sequence, list[Entry]()
        if digest != catalogue.digest:
            reached, entries = catalogue.after(after, PAGE_LIMIT_BYTES)
        payload = [field for entry in entries for field in entry]
        clock = self.shared.clock.last
        reply = (
            CATALOGUE_PAGE, request_id, clock, self.incarnation, reached, catalogue.sequence, catalogue.digest, payload,
            self.shared.namespaces.is_known,
        )  # fmt: skip
        self.shared.effects.send(connection, reply)

    def page(self, pull: _Pull, message: Message) -> None:
        """Take what a peer answered to a pull."""
        peer = self._peer(pull.node_id)
        peer.asking = False
        if not self._clock_accepted(message[2]) or not self._take(message[7]):
            self._fail(peer)
            return
        _, _, _, incarnation, reached, newest, digest = message[:7]
        anew = peer.incarnation != incarnation
        peer.incarnation, peer.confirmed = incarnation, True
        peer.pulled = reached if anew else max(peer.pulled, reached)
        self._release(peer, pull.number if reached >= newest else 0)
        if reached >= newest:
            self._heard_all(peer, knows=len(message) <= 8 or message[8] is True)
        if reached < newest or peer.waiters:
            self._ask(pull.node_id, reached)
        elif digest == self.catalogue.digest:
            peer.mismatches = 0
        elif pull.after == newest and not message[7]:
            self._differ(pull.node_id, peer)

    def pull_failed(self, node_id: NodeId) -> None:
        """No page came."""
        peer = self._peer(node_id)
        peer.asking = False
        self._fail(peer)

    # What reads ask

    def is_behind(self, node_id: NodeId, sequence: int) -> bool:
        """Tell whether a peer has changes up to ``sequence`` that were not pulled yet."""
        peer = self._peer(node_id)
        return not peer.confirmed or peer.pulled < sequence

    def wait(self, node_id: NodeId, sequence: int, waiter: CatalogueWaiter) -> None:
        """Call the waiter once, later, when that much was pulled, or cannot be."""
        peer = self._peer(node_id)
        peer.waiters.append((sequence, peer.asked + 1, waiter))
        if not peer.asking:
            self._ask(node_id, peer.pulled)

    # Time

    def linked(self, node_id: NodeId) -> None:
        """A link has come up: what was known of the peer's journal may be of the process before."""
        peer = self._peer(node_id)
        peer.confirmed = False
        if not peer.asking:
            self._ask(node_id, peer.pulled)

    def tick(self) -> None:
        """Compare with the next peer, when it is time."""
        if self.shared.now_s < self._next_compare_s:
            return
        self._next_compare_s = self.shared.now_s + COMPARE_S
        linked = self._linked()
        if linked:
            self._turn += 1
            node_id = linked[self._turn % len(linked)][0]
            peer = self._peer(node_id)
            if not peer.asking:
                self._ask(node_id, peer.pulled)

    def next_due_s(self) -> float:
        """Return when ``tick`` has something to do."""
        return self._next_compare_s

    def forget_after(self, stamp: int) -> None:
        """Drop what a wrong clock has dated beyond a hybrid timestamp, and compare with everybody from the start."""
        for name in [name for name, entry in self.catalogue.entries.items() if entry[0] > stamp]:
            self.catalogue.drop(name)
        for peer in self._peers.values():
            peer.confirmed, peer.pulled = False, 0

    def statistics(self) -> dict[str, int]:
        """Return counters and gauges."""
        catalogue = self.catalogue
        return {
            "catalogue_entries": len(catalogue.entries),
            "catalogue_sequence": catalogue.sequence,
            "catalogue_digest": catalogue.digest,
            "catalogue_pushes": self.pushes,
            "catalogue_pulls": self.pulls,
            "catalogue_full_pulls": self.full_pulls,
            "catalogue_refused": self.refused,
        }

    # Inside

    def _ask(self, node_id: NodeId, after: int) -> None:
        peer = self._peer(node_id)
        peer.asking = True
        peer.asked += 1
        self.pulls += 1
        fields = (peer.incarnation, after, self.catalogue.digest)
        self.port.ask(node_id, CATALOGUE_PULL, fields, _Pull(self, node_id, after, peer.asked), _PULL_TIMEOUT_MS)

    def _heard_all(self, peer: _Peer, *, knows: bool) -> None:
        """A node that began without memory knows of namespaces from then on, unless the peer began so as well; where
        that is true of most members, nobody is left to wait for."""
        namespaces, entries = self.shared.namespaces, self.members.table.entries.values()
        peer.knows = knows
        ignorant = 1 + sum(each.confirmed and not each.knows for each in self._peers.values())
        if knows or 2 * ignorant > sum(entry.state not in GONE for entry in entries):
            namespaces.is_known = True

    def _differ(self, node_id: NodeId, peer: _Peer) -> None:
        """Nothing is missing by number, and still the maps differ: if that lasts, look at everything once more."""
        peer.mismatches += 1
        if peer.mismatches % _FULL_EVERY == 0:
            self.full_pulls += 1
            self._ask(node_id, 0)

    def _take(self, payload: Any) -> bool:
        """Merge entries that came; False if one is dated further ahead than any sound clock could have."""
        if type(payload) is not list or len(payload) % 3:
            raise ValueError("entries of a catalogue")
        limit = (self.shared.now_ms + 4 * self.shared.clock.max_skew_ms) << 16
        sound = True
        for index in range(0, len(payload), 3):
            name, stamp, value = payload[index : index + 3]
            check_entry(name, stamp, value)
            if stamp > limit:
                self.refused += 1
                sound = False
                continue
            try:
                self.catalogue.merge(name, stamp, value)
            except Overloaded:
                self.refused += 1
        return sound

    def _release(self, peer: _Peer, complete: int = 0) -> None:
        """Let those go on that waited for no more than was pulled, or for the complete answer to a question."""
        waiters, peer.waiters = peer.waiters, []
        for sequence, question, waiter in waiters:
            if sequence <= peer.pulled or question <= complete:
                waiter.caught_up(True)
            else:
                peer.waiters.append((sequence, question, waiter))

    def _fail(self, peer: _Peer) -> None:
        waiters, peer.waiters = peer.waiters, []
        for _, _, waiter in waiters:
            waiter.caught_up(False)

    def _peer(self, node_id: NodeId) -> _Peer:
        peer = self._peers.get(node_id)
        if peer is None:
            peer = self._peers[node_id] = _Peer()
        return peer

    def _linked(self) -> list[tuple[NodeId, ConnectionId]]:
        links, entries = self.shared.links.by_node, self.members.table.entries
        return [
            (node_id, links[node_id].connection)
            for node_id in sorted(links)
            if links[node_id].connection and node_id in entries and entries[node_id].state not in GONE
        ]

    def _clock_accepted(self, clock: object) -> bool:
        if type(clock) is int and self.shared.clock.observe(clock, self.shared.wall_ms):
            self.shared.now_ms = self.shared.clock.last >> 16
            return True
        self.shared.counters.skewed_messages += 1
        return False
