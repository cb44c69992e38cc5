"""Transfers: fill the partitions whose content this node lacks, and give others what they lack.

What: ``Transfer`` is the repair core behind warming, joining and replacing. It marks partitions as warming, asks other
owners for them page by page (``PULL``, ``PAGE``), merges what comes, and ends each as ``warming.decide`` says; as a
source it answers the pulls of others through ``transfer_serve.Server``.

Invariant: what this node gains by a new table is warming before anything else happens under that table. A copy counts
only if it began behind the fence: under the present owners of its partition, and, after a start without memory, not
before ``settle_s`` have passed, since a restart changes no owners and a write that this node's earlier process has
acknowledged may be on its way to another owner for so long. A page is merged as a whole or, when malformed, not at all.
Bytes keep to the rate, which sinks as the node gets busy with clients.

Why merging only: nothing is ever replaced by a transfer, so pages may come twice, late or in any order, and writes go
on meanwhile (DESIGN section 6; brief R4.7, R4.13, R4.14).
"""

from collections.abc import Mapping

import attrs
from pyroaring import BitMap

from dynacache.config.transfer import TransferConfig
from dynacache.errors import DynacacheError, InvalidOption
from dynacache.events import Message
from dynacache.placement.continuity import gained
from dynacache.placement.placement import Placement
from dynacache.repair.ports import Handler, RepairPort
from dynacache.repair.transfer_merge import Merger
from dynacache.repair.transfer_messages import Outcome, Page, Part, read_page
from dynacache.repair.transfer_rate import TokenBucket
from dynacache.repair.transfer_serve import Server
from dynacache.repair.transfer_source import Asked, Begun, Source
from dynacache.repair.transfer_store import Ended, Fresh, HintsFor, TransferStore
from dynacache.repair.warming import Ending, owner_sets
from dynacache.repair.warming_plan import WarmingPlan
from dynacache.types import NodeId
from dynacache.wire.messages import PULL

__all__ = ["Transfer"]

_PROBE_S = 1.0
"""Pause between two questions after the state of a source that is waited for."""
_TURN_S = 0.05
"""Pause between two looks while there is something to take: a tenth of a second's tokens are never left unused."""
_BUSY_S = 0.1
"""Pause after a source said that it is busy."""
_FULL_S = 5.0
"""Pause after a page did not fit into memory."""
_LEAST_BYTES = 1_024
"""Size of the smallest page, where the rate is so small that it allows no other."""
_LEAST_SHARE = 0.05
"""Part of the rate that is used however busy the node is, so that every transfer ends."""
_WAITING_S = 60.0
"""Pause between two notes that partitions wait for a node that is away."""
_MALFORMED = (DynacacheError, LookupError, TypeError, ValueError, ArithmeticError, AttributeError)


def _nobody(partition: int, since_ms: int) -> None:
    """Nobody asked to be told."""


@attrs.define(eq=False)
class Transfer:
    """The transfer core of one node.

    ``settle_s``: how long a write of a failed process may still be under way. ``keep_ms``: for how long no delete is
    forgotten by the owners of a partition. ``stale_after_ms``: for how long none is forgotten that one of them lacks.
    """

    port: RepairPort
    settings: TransferConfig
    store: TransferStore
    fresh: Fresh
    hints_for: HintsFor
    settle_s: float = 0.0
    keep_ms: int = 3_600_000
    stale_after_ms: int = 69_120_000
    ended: Ended = _nobody
    """Called with each partition that is complete, and since when by the hybrid clock."""
    sources: dict[NodeId, Source] = attrs.field(init=False, factory=dict)
    plan: WarmingPlan = attrs.field(init=False)
    server: Server = attrs.field(init=False)
    merger: Merger = attrs.field(init=False)
    bytes_in: int = attrs.field(init=False, default=0)
    pages_in: int = attrs.field(init=False, default=0)
    malformed: int = attrs.field(init=False, default=0)
    failures: int = attrs.field(init=False, default=0)
    begun_again: int = attrs.field(init=False, default=0)
    _bucket: TokenBucket = attrs.field(init=False)
    _not_before_s: float = attrs.field(init=False, default=float("-inf"))
    _memory_ms: int = attrs.field(init=False, default=0)  # what was born before, an earlier process may have held
    _bytes_before: int = attrs.field(init=False, default=0)
    _begun: list[tuple[int, str]] = attrs.field(init=False, factory=list)
    """What began to be filled and was not noted yet: the node has no effects before its first turn."""
    _waiting_noted_s: float = attrs.field(init=False, default=float("-inf"))

    def __attrs_post_init__(self) -> None:
        rate = self.settings.bytes_per_s
        self._bucket = TokenBucket(rate)
        self.server = Server(self.port, self.settings, self.store, self.hints_for, TokenBucket(rate))
        self.merger = Merger(self.port, self.store, self.fresh)
        self.plan = WarmingPlan(self.port, self.settings, self.store, self.sources, self._ended, self.stale_after_ms)
        self._follow(self.port.placement)

    @property
    def handlers(self) -> Mapping[int, Handler]:
        """What this core answers."""
        return {PULL: self.server.serve}

    # What others ask of it

    def start_empty(self) -> None:
        """This process began without memory: nothing that it owns is complete."""
        self._not_before_s = self.port.now_s + self.settle_s
        self._memory_ms = self.port.now_ms + int(self.settle_s * 1000)
        self.begin(self.port.placement.owned_by(self.port.node_id), "the node started without memory")

    def begin(self, partitions: BitMap, reason: str) -> None:
        """Distrust what this node holds of these partitions, and fill them from the other owners."""
        mine = partitions & self.port.placement.owned_by(self.port.node_id)
        if not mine:
            return
        if not self.store.warming:
            self._bytes_before = self.bytes_in
        self.plan.add(mine)
        self._begun.append((len(mine), reason))
        self._waiting_noted_s = self.port.now_s

    def is_complete(self, partition: int) -> bool:
        """Tell whether this node's copy is whole: neither being filled nor out of touch for too long."""
        return partition not in self.store.warming and partition not in self.store.stale

    def set_limit(self, bytes_per_s: int) -> None:
        """Change the rate in force, both as a puller and as a source, until the process ends."""
        if type(bytes_per_s) is not int or bytes_per_s <= 0:
            raise InvalidOption(f"handoff limit: got {bytes_per_s!r}, expected a number of bytes a second above 0")
        self._bucket.rate_per_s = self.server.bucket.rate_per_s = bytes_per_s

    def progress(self) -> dict[str, object]:
        """Return how far the filling of this node has come."""
        plan, left = self.plan, len(self.store.warming)
        elapsed_s = self.port.now_s - plan.started_s if left else 0.0
        return {
            "partitions_left": left,
            "partitions_done": plan.done,
            "bytes_in": self.bytes_in - self._bytes_before,
            "bytes_out": self.server.bytes_out,
            "elapsed_s": round(elapsed_s, 3),
            "left_s": round(elapsed_s / plan.done * left, 1) if left and plan.done else None,
            "limit_bytes_per_s": int(self._bucket.rate_per_s),
            "sources": {name: source.bytes_in for name, source in self.sources.items() if source.bytes_in},
            "waiting_for": plan.waiting_for(),
            "pullers": self.server.open_count,
        }

    # What drives it

    def table_changed(self, before: Placement, after: Placement) -> None:
        """Mark what is gained, drop what is lost, and begin anew where the owners are others."""
        node_id = self.port.node_id
        had, owned = before.owned_by(node_id), after.owned_by(node_id)
        self._follow(after)
        self.server.owners_changed()
        self.plan.owners_changed()
        for partition in self.store.warming - owned:
            self.plan.remove(partition)
        for partition in self.store.warming & owned:
            if owner_sets(before, partition, node_id) != owner_sets(after, partition, node_id):
                self.plan.forget(partition)
        new = gained(before, after, node_id, self._memory_ms)
        for partition in new:
            if partition not in had or node_id in before.old(partition):
                self._distrust_remains(partition)
        self.begin(new, "new partitions")

    def tick(self) -> None:
        """Follow the links, give up what nobody asks for, and go on."""
        self.server.tick()
        for source in self.sources.values():
            up = self.port.is_up(source.node_id)
            if up != source.is_up:
                source.linked(up)
                self.plan.linked(source)
        self._advance()
        self._tell()

    def next_due_s(self) -> float:
        """Return when there will be something to do."""
        due_s = self.server.next_due_s()
        if not self.store.warming:
            return due_s
        if self.plan.is_behind:
            return self.port.now_s
        return min(due_s, self.port.now_s + self._pause_s())

    def statistics(self) -> Mapping[str, object]:
        """Return counters and gauges."""
        endings = self.plan.endings
        return {
            "partitions_left": len(self.store.warming),
            "partitions_filled": sum(endings.values()),
            "filled_from_displaced": endings[Ending.DISPLACED],
            "filled_from_quorum": endings[Ending.QUORUM],
            "memory_lost": endings[Ending.EVERYONE],
            "bytes_in": self.bytes_in,
            "bytes_out": self.server.bytes_out,
            "pages_in": self.pages_in,
            "pages_out": self.server.pages,
            "snapshots": self.server.open_count,
            "snapshots_lost": self.server.snapshots_lost,
            "pulls_refused": self.server.refused,
            "pulls_failed": self.failures,
            "pages_malformed": self.malformed,
            "partitions_begun_again": self.begun_again,
            "pages_not_fitting": self.merger.did_not_fit,
            "records_left_out": self.merger.left_out,
        }

    # Asking

    def _advance(self) -> None:
        if not self.store.warming:
            return
        self.plan.step()
        active = sum(1 for source in self.sources.values() if source.asked is not None and source.asked.named)
        share = max(_LEAST_SHARE, 1.0 - self.port.load)
        self._bucket.share = share
        for source in self.sources.values():
            if source.asked is not None or not source.is_up or self.port.now_s < source.not_before_s:
                continue
            source.bucket.share = share
            chosen, limit_bytes = self._choose(source) if active < self.settings.sources_limit else ([], 0)
            if chosen or self._is_probe_due(source):
                active += bool(chosen)
                self._ask(source, chosen, limit_bytes)

    def _choose(self, source: Source) -> tuple[list[int], int]:
        """Return what to ask a source for now, and for how much of it."""
        now_s = self.port.now_s
        if now_s < self._not_before_s or not source.is_heard:
            return [], 0
        limit = source.page_bytes(self.settings.page_bytes)
        room, cost = min(self._bucket.available(now_s), source.bucket.available(now_s)), source.cost_bytes(limit)
        if self._bucket.wait_s(cost) or source.bucket.wait_s(cost):
            return [], 0
        limit = max(_LEAST_BYTES, min(limit, limit * room // cost))
        busy = BitMap()
        for other in self.sources.values():
            if other is not source and (other.asked is not None or other.begun):
                busy |= other.taking
        return source.choose(busy), limit

    def _is_probe_due(self, source: Source) -> bool:
        if not source.is_heard:
            return bool(source.owned & self.store.warming) or self.plan.waits_for_hints
        awaited = bool(source.waited) or self.plan.waits_for_hints
        return awaited and self.port.now_s >= source.heard_s + _PROBE_S

    def _ask(self, source: Source, partitions: list[int], limit_bytes: int) -> None:
        cost, now_s, now_ms = source.cost_bytes(limit_bytes), self.port.now_s, self.port.now_ms
        self._bucket.take(cost)
        source.bucket.take(cost)
        named = frozenset(partitions), BitMap(partitions)
        source.asked = asked = Asked(source, *named, cost, now_ms, now_s, self._on_page, self._on_failure)
        begun, store = source.begun, self.store
        # Who remembers values that it does not hold has the root of one that holds them: it asks for everything.
        roots = {p: 0 if p in begun or store.remembers(p) else store.root(p) for p in partitions}
        wanted = [[p, begun[p].cursor if p in begun else 0, roots[p]] for p in partitions]
        fields = (self.port.digest, wanted, max(1, limit_bytes))
        self.port.ask(source.node_id, PULL, fields, asked, self.settings.pull_timeout_ms)

    # Hearing

    def _on_page(self, asked: Asked, message: Message) -> None:
        source = asked.source
        if self.sources.get(source.node_id) is not source:
            self._settle(asked, 0)
            return
        try:
            page = read_page(message, asked.named, self.port.placement)
            if message[2] > self.port.hybrid:
                raise ValueError(f"clock {message[2]} of the source: further ahead than is allowed")
        except _MALFORMED as error:
            self.malformed += 1
            self.port.note("transfer.malformed", "warning", source=source.node_id, reason=str(error))
            self._fail(asked)
        else:
            self._take(source, asked, page)
        self._advance()

    def _on_failure(self, asked: Asked) -> None:
        self.failures += 1
        self._fail(asked)

    def _fail(self, asked: Asked) -> None:
        self._settle(asked, 0)
        asked.source.failed(self.port.now_s)
        if not asked.source.is_usable:
            self.plan.linked(asked.source)

    def _settle(self, asked: Asked, cost_bytes: int) -> None:
        """Give back the tokens of what did not come."""
        self._bucket.take(cost_bytes - asked.reserved_bytes)
        asked.source.bucket.take(cost_bytes - asked.reserved_bytes)

    def _take(self, source: Source, asked: Asked, page: Page) -> None:
        self._settle(asked, page.cost_bytes)
        if asked.named:
            source.took(self.port.now_s - asked.asked_s, self.port.now_s)
        self.pages_in += 1
        self.bytes_in += page.size_bytes
        source.bytes_in += page.size_bytes
        source.served(len(asked.named), page)
        self.plan.heard(*source.heard(page, self.port.now_s))
        for part in page.parts:
            if part.partition in asked.counted:
                self._take_part(source, asked, page, part)

    def _take_part(self, source: Source, asked: Asked, page: Page, part: Part) -> None:
        partition = part.partition
        if part.outcome is Outcome.LOST:
            self.begun_again += 1
            source.begun.pop(partition, None)
            return
        if part.outcome is Outcome.BUSY:
            source.not_before_s = self.port.now_s + _BUSY_S
            return
        begun = source.begun.pop(partition, None)
        if begun is None:
            complete = partition not in page.warming and partition not in page.stale
            begun = Begun(0, complete, asked.since_ms)
        refused = self.merger.refused
        merged = self.merger.merge(part)
        if self.merger.refused > refused and partition in page.stale:
            begun = attrs.evolve(begun, lacking=True)
        if not merged:
            source.not_before_s = self.port.now_s + _FULL_S
        elif part.outcome is Outcome.MORE:
            source.begun.clear()
            source.begun[partition] = attrs.evolve(begun, cursor=part.cursor)
        else:
            self.plan.merged(source, partition, begun)

    # Inside

    def _follow(self, placement: Placement) -> None:
        """Keep one source for each other member."""
        node_id = self.port.node_id
        members = dict.fromkeys(name for owners in placement.write_owners_by_partition for name in owners)
        members.pop(node_id, None)
        for name in [name for name in self.sources if name not in members]:
            del self.sources[name]
        mine = placement.owned_by(node_id)
        for name in members:
            owned = placement.owned_by(name) & mine
            known = self.sources.get(name)
            if known is None:
                self.sources[name] = Source(name, TokenBucket(self.settings.source_bytes_per_s), owned)
            else:
                known.owned = owned

    def _distrust_remains(self, partition: int) -> None:
        """Something may be left of an earlier time as an owner. Meanwhile the others may have forgotten deletes that
        this node has missed, but none of what is younger than the least time for which deletes are kept."""
        if self.store.root(partition):
            self.store.discard_older(partition, self.port.now_ms - self.keep_ms)

    def _tell(self) -> None:
        """Note what began, and now and then for whom partitions wait."""
        for partitions, reason in self._begun:
            self.port.note("memory.warming", partitions=partitions, reason=reason)
        self._begun.clear()
        if self.store.warming and self.port.now_s >= self._waiting_noted_s + _WAITING_S:
            self._waiting_noted_s = self.port.now_s
            away = {name: count for name, count in self.plan.waiting_for().items() if not self.port.is_up(name)}
            if away:
                self.port.note("memory.waiting", "warning", partitions_by_node=away)

    def _ended(self, partition: int, since_ms: int) -> None:
        self.ended(partition, since_ms)
        if self.store.warming:
            return
        plan = self.plan
        self.port.note(
            "memory.complete",
            partitions=plan.done,
            seconds=round(self.port.now_s - plan.started_s, 3),
            bytes=self.bytes_in - self._bytes_before,
            memory_lost=plan.lost,
        )

    def _pause_s(self) -> float:
        """Return how long nothing will be due. While a page is out there may be tokens or another source to ask before
        it comes, so that the pause is that between two turns of housekeeping."""
        now_s, pause_s = self.port.now_s, _PROBE_S
        for source in self.sources.values():
            if source.todo and source.is_up:
                later_s = max(source.not_before_s, self._not_before_s) - now_s
                pause_s = min(pause_s, max(later_s, _TURN_S))
        return pause_s
