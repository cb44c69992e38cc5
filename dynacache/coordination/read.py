"""Reads at the coordinator: the hot path, and the door to everything slower.

What: ``Reader.get`` answers a plain read at ``one`` from this node's copy, asks one peer to compare versions for a
quorum of two, and makes a ``ReadOperation`` of all other reads.

Invariant: the plain path is taken only where it gives exactly what the operation would: no flags, this node's copy is a
reader's and complete, the record holds one live value or there is none and none was evicted, and either the owners are
not changing or the level does not promise that reads never go back.

Why: four reads in five of a cache are plain; they must cost a dict lookup and a comparison elsewhere.
"""

import attrs

from dynacache.coordination.read_batch import Asker, FastItem
from dynacache.coordination.read_operation import ReadOperation, Waiter
from dynacache.coordination.routes import Route, Target
from dynacache.coordination.shared import Shared
from dynacache.coordination.tally import required_answers
from dynacache.errors import Overloaded
from dynacache.events import ConnectionId
from dynacache.types import Level
from dynacache.versioning.attachments import ATTACHED, value_start
from dynacache.versioning.context import Context
from dynacache.versioning.packed import HEADER_BYTES, SLIDING, version_prefix
from dynacache.versioning.packed import VALUE as KIND_VALUE
from dynacache.wire.messages import PAYLOAD_FLAGS, VALUE

__all__ = ["Reader"]


@attrs.define(eq=False)
class Reader:
    """Starts reads."""

    shared: Shared
    asker: Asker

    def get(
        self, connection: ConnectionId, rid: int, key: bytes, partition: int, route: Route, level: int, timeout_ms: int
    ) -> None:
        """Read plainly: value or miss, no metadata. Raises ``Overloaded``."""
        shared = self.shared
        if shared.turn_reply_bytes > shared.settings.turn_reply_limit_bytes:
            self._refuse()
        if route.complete:
            store = shared.store
            record = store.get(partition, key, shared.now_ms)
            if record is not None and record[1] == KIND_VALUE:
                offset = HEADER_BYTES + 16 * record[3]
                if record[2] & ATTACHED:
                    offset = value_start(record[2], record, offset)
                    if record[2] & SLIDING:
                        shared.sliding[key] = record
                shared.turn_reply_bytes += len(record)
                if level == Level.ONE or (len(route.readers) == 1 and len(route.owner_sets) == 1):
                    shared.counters.hits += 1
                    shared.effects.send(connection, (VALUE, rid, record[2] & PAYLOAD_FLAGS, record[offset:]))
                    return
                if self._one_more_is_enough(route, level):
                    item: FastItem = (connection, rid, key, record, offset, partition, level, timeout_ms)
                    self.asker.ask(self._peer(route), timeout_ms, key, version_prefix(record), item)
                    return
            elif (
                record is None
                and level != Level.ALL
                and self._one_more_is_enough(route, level)
                and store.missing(partition, key) is None
            ):
                item = (connection, rid, key, None, 0, partition, level, timeout_ms)
                self.asker.ask(self._peer(route), timeout_ms, key, None, item)
                return
        self.start(connection, rid, key, partition, route, level, timeout_ms)

    def start(
        self,
        connection: ConnectionId,
        rid: int,
        key: bytes,
        partition: int,
        route: Route,
        level: int,
        timeout_ms: int,
        flags: int = 0,
        waiter: Waiter | None = None,
        minimum_context: Context | None = None,
    ) -> None:
        """Start a read that may need several answers. Raises ``Overloaded``."""
        shared = self.shared
        if (
            len(shared.pending) >= shared.settings.pending_limit
            or shared.turn_reply_bytes > shared.settings.turn_reply_limit_bytes
        ):
            self._refuse()
        operation = ReadOperation(
            shared,
            self.asker,
            connection,
            rid,
            key,
            partition,
            route,
            level,
            shared.now_s + timeout_ms / 1000,
            flags=flags,
            waiter=waiter,
            minimum_context=minimum_context,
        )
        operation.begin()

    def _refuse(self) -> None:
        shared = self.shared
        if len(shared.pending) >= shared.settings.pending_limit:
            raise Overloaded(f"{len(shared.pending)} requests are in flight, the limit of this node")
        limit_bytes = shared.settings.turn_reply_limit_bytes
        raise Overloaded(f"the reads sent together ask for more than {limit_bytes} bytes; send fewer at once")

    def _one_more_is_enough(self, route: Route, level: int) -> bool:
        if level != Level.ONE and (
            required_answers(level, len(route.readers)) != 2
            or (len(route.owner_sets) > 1 and level not in (Level.ONE, Level.QUORUM))
        ):
            return False
        return bool(route.sources)

    def _peer(self, route: Route) -> Target:
        """Return the owner to compare with: another one in each round, so that load is spread."""
        others, rounds = route.sources, self.asker.rounds
        chosen = others[rounds % len(others)]
        if len(others) > 1:
            links, now_s = self.shared.links, self.shared.now_s
            if links.by_node[chosen.node_id].incomplete_until_s > now_s:
                chosen = others[(rounds + 1) % len(others)]
        return chosen
