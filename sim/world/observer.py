"""The observer: every change of a node's store and hint store becomes a ``StoreEvent``.

What: ``observe`` gives a node's engine and hint store a class of their own, a subclass with the same slots whose
methods call the originals and then tell what changed, and why.

Invariant: the product's code is neither changed nor asked for help, and a run with an observer takes the same steps as
one without. A planted bug that replaces a method of the product stays in force, because the originals are looked up
when they are called.

Why inside the store and not by comparing it after each turn: a turn may change a key twice, and visiting every key
after every turn would cost more than the turn.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from dynacache.coordination.key_events import KeyEvents
from dynacache.errors import DynacacheError, OutOfMemory
from dynacache.namespaces.names import without_factor
from dynacache.node import Node
from dynacache.repair.hints import HintStore
from dynacache.storage.engine import TAKEN, Engine
from dynacache.storage.listing import NEAR_MS
from dynacache.storage.records import deleted_s, is_tombstone, read_times
from dynacache.versioning import packed

from ..evidence import CatalogueEvent, KeyHappening
from ..history import HINT, StoreCause, StoreEvent
from .recorder import Recorder

__all__ = ["Observer", "observe"]


@attrs.define(eq=False, repr=False)
class Observer:
    """What the observed classes of one process share: the present cause, and what each place holds."""

    node_id: str
    node: Node
    recorder: Recorder
    cause: StoreCause = StoreCause.PUT
    held: dict[tuple[str, bytes], bytes] = attrs.field(factory=dict)
    refused: set[bytes] = attrs.field(factory=set)
    """Keys of which the store has refused a merge for want of room, and has not changed since."""
    witnessed: set[int] = attrs.field(factory=set)
    """The fingerprints among them that this store was asked to remember."""

    def changed(self, place: str, key: bytes, after: bytes | None, cause: StoreCause) -> None:
        """Tell one change; nothing is told when the record is the one that was held."""
        held = self.held
        name = (place, key)
        if self.refused and not place:
            self.refused.discard(key)
        before = held.get(name)
        if after is None:
            if before is None:
                return
            del held[name]
        else:
            if after is before:
                return
            held[name] = after
        self._tell(place, key, before, after, cause)

    def replaced(self, key: bytes, record: bytes) -> None:
        """Tell a replacement, and before it, if what was replaced had ended, its expiry: a plain value stays in the
        store until its second, and what comes after its expiry follows nothing."""
        held = self.held.get(("", key))
        if held is not None and packed.clean(held, self.node.shared.now_ms) is None:
            self.changed("", key, None, StoreCause.EXPIRE)
        self.changed("", key, record, self.cause)

    def note_witnessed(self, versions: Iterable[tuple[int, int, int, int, bool]]) -> None:
        """Take note of what repair asked of a full store (seed 4225)."""
        for fingerprint, _, time, _, _ in versions:
            self.witnessed.add(fingerprint)
            self.recorder.witnessed.setdefault(fingerprint, set()).add(time)

    @contextmanager
    def merging(self, key: bytes) -> Iterator[None]:
        """Let what changes within be a merge, and take note if there is no room for it."""
        try:
            with self.during(StoreCause.MERGE):
                yield
        except OutOfMemory:
            self.refused.add(key)
            raise

    @contextmanager
    def unless_refused(self, key: bytes) -> Iterator[None]:
        """Take back what is told within when the store refuses it in the end."""
        events, held = self.recorder.store_events, self.held.get(("", key))
        told = len(events)
        try:
            yield
        except DynacacheError:
            del events[told:]
            self.held.pop(("", key), None)
            if held is not None:
                self.held["", key] = held
            raise

    @contextmanager
    def during(self, cause: StoreCause) -> Iterator[None]:
        """Let what changes within have a cause."""
        outer, self.cause = self.cause, cause
        try:
            yield
        finally:
            self.cause = outer

    def lost(self, cause: StoreCause = StoreCause.LOST) -> None:
        """Tell that the process is gone with its memory."""
        for (place, key), record in self.held.items():
            self._tell(place, key, record, None, cause)
        self.held.clear()

    def _tell(self, place: str, key: bytes, before: bytes | None, after: bytes | None, cause: StoreCause) -> None:
        sequence, at_s = self.recorder.stamp()
        shared = self.node.shared
        self.recorder.store_events.append(
            StoreEvent(
                sequence,
                at_s,
                self.node_id,
                shared.issuer.incarnation,
                without_factor(key),
                before,
                after,
                cause,
                shared.now_ms,
                place,
            )
        )

    def catalogued(self, name: bytes, stamp: int, value: bytes) -> None:
        """Tell that the node took an entry into its catalogue."""
        sequence, at_s = self.recorder.stamp()
        incarnation = self.node.shared.issuer.incarnation
        event = CatalogueEvent(sequence, at_s, self.node_id, incarnation, name, stamp, value)
        self.recorder.catalogue.append(event)

    def happened(self, change: int, key: bytes) -> None:
        """Tell that there was an event for subscribers; with an empty key, whether there are any."""
        sequence, at_s = self.recorder.stamp()
        shared = self.node.shared
        incarnation = shared.issuer.incarnation
        event = KeyHappening(sequence, at_s, self.node_id, incarnation, int(change), without_factor(key), shared.now_ms)
        self.recorder.happenings.append(event)


def observe(node_id: str, node: Node, recorder: Recorder) -> Observer:
    """Observe a node from its start on. Call ``lost`` of the result when the process ends."""
    observer = Observer(node_id, node, recorder)
    node.shared.catalogue.listeners.append(observer.catalogued)
    node.engine.__class__ = _engine_class(observer)
    node.hints.__class__ = _hints_class(observer)
    node.observed.key_events.__class__ = _events_class(observer)
    return observer


def _engine_class(observer: Observer) -> type[Engine]:
    """Return an engine that tells what comes to it, built on one that tells what leaves it."""

    class ObservedEngine(_leaving_class(observer)):  # type: ignore[misc]
        __slots__ = ()

        def put(self, partition: int, key: bytes, record: bytes) -> None:
            if not self._judging or self.epochs.left(key, record) is record:
                Engine.put(self, partition, key, record)
                return
            # What an epoch ends as it comes is stored for no moment, and has been minted all the same, if it was not
            # refused: of what it leaves there may be too much.
            with observer.unless_refused(key):
                observer.changed("", key, record, observer.cause)
                with observer.during(StoreCause.INVALIDATE):
                    Engine.put(self, partition, key, record)
            observer.changed("", key, self.peek(partition, key), StoreCause.INVALIDATE)

        def merge(self, partition: int, key: bytes, incoming: bytes, now_ms: int) -> bytes | None:
            with observer.merging(key):
                return Engine.merge(self, partition, key, incoming, now_ms)

        def merge_cold(self, partition: int, key: bytes, record: bytes, now_ms: int) -> int:
            # The store calls its own merge for what it takes; what it has no room for is remembered at most.
            outcome = Engine.merge_cold(self, partition, key, record, now_ms)
            if outcome != TAKEN:
                observer.refused.add(key)
                time, _ = read_times(record)
                observer.note_witnessed([(self.fingerprint(partition, key), 0, time, 0, False)])
            return outcome

        def witness_many(
            self, partition: int, versions: Iterable[tuple[int, int, int, int, bool]], superseding: bool = False
        ) -> int:
            versions = list(versions)
            if not superseding and self.room() is not True:
                observer.note_witnessed(versions)
            return Engine.witness_many(self, partition, versions, superseding)

        def merge_newer(self, partition: int, key: bytes, incoming: object, now_ms: int) -> bool:
            with observer.merging(key):
                return Engine.merge_newer(self, partition, key, incoming, now_ms)

        def remove(self, partition: int, key: bytes) -> bool:
            removed = Engine.remove(self, partition, key)
            ended = observer.cause is StoreCause.INVALIDATE  # the store itself removes what a merge finds to be over
            observer.changed("", key, None, StoreCause.INVALIDATE if ended else StoreCause.CLEANSE)
            return removed

        def _insert(self, shard: int, key: bytes, record: bytes) -> None:
            Engine._insert(self, shard, key, record)
            observer.changed("", key, record, observer.cause)

        def _replace(self, shard: int, key: bytes, old: bytes, record: bytes) -> None:
            Engine._replace(self, shard, key, old, record)
            observer.replaced(key, record)

        def _put_tombstone(self, shard: int, key: bytes, record: bytes) -> None:
            Engine._put_tombstone(self, shard, key, record)
            observer.replaced(key, record)

    return ObservedEngine


def _judged_class(observer: Observer) -> type[Engine]:
    """Return an engine that tells what epochs end."""

    class Judged(Engine):
        __slots__ = ()

        def _bury(self, shard: int, key: bytes, record: bytes, left: bytes | None) -> None:
            with observer.during(StoreCause.INVALIDATE):
                Engine._bury(self, shard, key, record, left)
            observer.changed("", key, left, StoreCause.INVALIDATE)

        def _bury_plain(self, shard: int, keys: list[bytes], records: list[bytes]) -> None:
            Engine._bury_plain(self, shard, keys, records)
            for key in keys:
                observer.changed("", key, None, StoreCause.INVALIDATE)

        def _meet_tombstone(self, shard: int, key: bytes) -> bool:
            met = Engine._meet_tombstone(self, shard, key)
            if met:
                observer.changed("", key, self._tombstones.tables[shard].entries.get(key), StoreCause.INVALIDATE)
            return met

        def _merge_dead(self, *given: Any) -> Any:
            observer.cause = StoreCause.INVALIDATE  # until the merge ends
            return Engine._merge_dead(self, *given)

    return Judged


def _leaving_class(observer: Observer) -> type[Engine]:
    class Leaving(_judged_class(observer)):  # type: ignore[misc]
        __slots__ = ()

        def _expire(self, shard: int, key: bytes, record: bytes, now_ms: int, scheduled: bool = True) -> bytes | None:
            with observer.during(StoreCause.EXPIRE):
                left = Engine._expire(self, shard, key, record, now_ms, scheduled)
            observer.changed("", key, left, StoreCause.EXPIRE)
            return left

        def _drop_plain(self, keys: Sequence[bytes], shards: Sequence[int], records: Sequence[bytes]) -> None:
            Engine._drop_plain(self, keys, shards, records)
            for key in keys:
                observer.changed("", key, None, StoreCause.EXPIRE)

        def _merge_expired(self, shard: int, key: bytes, held: bytes, incoming: bytes, now_ms: int) -> bytes | None:
            left = Engine._merge_expired(self, shard, key, held, incoming, now_ms)
            if left is None:
                observer.changed("", key, None, StoreCause.EXPIRE)
            return left

        def _evicted(self, shard: int, key: bytes, deleted: int) -> None:
            Engine._evicted(self, shard, key, deleted)
            observer.changed("", key, None, StoreCause.EXPIRE if deleted else StoreCause.EVICT)

        def _reap(self, now_ms: int, budget: int) -> int:
            with observer.during(StoreCause.REAP):
                return Engine._reap(self, now_ms, budget)

        def _drop_tombstone(self, shard: int, key: bytes) -> bytes:
            dropped = Engine._drop_tombstone(self, shard, key)
            if observer.cause is StoreCause.REAP:
                observer.changed("", key, None, StoreCause.REAP)
            return dropped

        def _reap_one(self, shard: int, key: bytes, is_early: bool) -> None:
            with observer.during(StoreCause.REAP):
                Engine._reap_one(self, shard, key, is_early)

        def _discard_before(self, partition: int, key: bytes, time: int) -> bool:
            with observer.during(StoreCause.DISCARD):
                gone = Engine._discard_before(self, partition, key, time)
            observer.changed("", key, self.peek(partition, key), StoreCause.DISCARD)
            return gone

        def clear(self, partition: int) -> None:
            held = self.items(partition)
            Engine.clear(self, partition)
            # What is about to be reaped is handed over to nobody, as repair leaves it alone (seed 3266).
            last_s = (observer.node.shared.now_ms + NEAR_MS) // 1000 - self._reaper.grace_s
            for key, record in held:
                is_due = is_tombstone(record) and deleted_s(record) <= last_s
                observer.changed("", key, None, StoreCause.REAP if is_due else StoreCause.REMOVE)

    return Leaving


def _hints_class(observer: Observer) -> type[HintStore]:
    class ObservedHints(HintStore):
        __slots__ = ()

        def add(self, target: str, partition: int, key: bytes, record: bytes, now_ms: int, *, counted: bool) -> bool:
            taken = HintStore.add(self, target, partition, key, record, now_ms, counted=counted)
            hint = self._by_target.get(target, {}).get(key)
            if taken and hint is not None:
                cause = StoreCause.PUT if record[0] & packed.OWN_BASE else StoreCause.MERGE
                observer.changed(HINT + target, key, hint.record, cause)
            return taken

        def refresh(self, key: bytes, record: bytes) -> None:
            HintStore.refresh(self, key, record)
            for target, hints in self._by_target.items():
                hint = hints.get(key)
                if hint is not None:
                    observer.changed(HINT + target, key, hint.record, StoreCause.MERGE)

        def remove(self, target: str, key: bytes) -> None:
            HintStore.remove(self, target, key)
            observer.changed(HINT + target, key, None, StoreCause.REMOVE)

    return ObservedHints


def _events_class(observer: Observer) -> type[KeyEvents]:
    class ObservedEvents(KeyEvents):
        __slots__ = ()

        def happened(self, change: int, key: bytes) -> None:
            observer.happened(change, key)
            KeyEvents.happened(self, change, key)

        def _follow(self) -> None:
            KeyEvents._follow(self)
            observer.happened(int(len(self) > 0), b"")

    return ObservedEvents
