"""What a node notes of the requests it serves: hot keys, misses, key events.

What: ``Observed`` puts the counters of ``observability`` and the subscriptions of ``coordination.key_events`` at the
places of a turn where they have work: a batch arrives, the turn ends, housekeeping runs, a connection goes.

Invariant: it changes nothing of what is answered. A turn without misses and without subscribers costs it a subtraction
a batch and two looks at empty containers.

Why here: the counters are of the same rank as coordination and know nothing of it; packages of one rank meet in the
node.
"""

from collections.abc import Callable
from typing import Any

import attrs

from dynacache.config.observability import ObservabilityConfig
from dynacache.coordination.key_events import KeyEvents
from dynacache.coordination.shared import Shared
from dynacache.events import ConnectionId, Message
from dynacache.namespaces.names import DEFAULT, namespace_of, without_factor
from dynacache.observability.hot_keys import HOT_KEYS_LIMIT, HotKeys
from dynacache.observability.miss_counts import PREFIXES_LIMIT, MissCounts
from dynacache.storage.engine import Engine
from dynacache.types import MissReason
from dynacache.wire.messages import EVENTS, SUBSCRIBE

__all__ = ["REPORTED_PREFIXES_LIMIT", "Observed"]

REPORTED_PREFIXES_LIMIT = 200
"""Rows of misses by prefix in one report."""


@attrs.define(eq=False)
class Observed:
    """The observers of one node."""

    shared: Shared
    settings: ObservabilityConfig
    engine: Engine
    hot_keys: HotKeys = attrs.field(init=False)
    miss_counts: MissCounts = attrs.field(init=False)
    key_events: KeyEvents = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the parts."""
        self.hot_keys = HotKeys(self.shared.now_s)
        self.miss_counts = MissCounts(self.settings.prefix_delimiter.encode())
        self.key_events = KeyEvents(self.shared, self._may_subscribe, self._listen)

    def served(self) -> dict[int, Callable[[ConnectionId, Message, int], None]]:
        """Return what the gate hands to these parts."""
        return {SUBSCRIBE: self.key_events.subscribe, EVENTS: self.key_events.poll}

    def sample(self, messages: list[Message]) -> None:
        """Look at a batch of a client's, if it holds one that is to be looked at."""
        hot_keys = self.hot_keys
        hot_keys.countdown -= len(messages)
        if hot_keys.countdown <= 0:
            hot_keys.sample(messages)

    def end_turn(self) -> None:
        """Count the turn's misses and answer subscribers."""
        if self.shared.misses.fresh:
            self.miss_counts.count(self.shared.misses.settle())
        self.key_events.flush()

    def tick(self) -> None:
        """Do what is due."""
        self.hot_keys.tick(self.shared.now_s)
        self.key_events.tick()

    def hot(self) -> dict[str, Any]:
        """Return the keys that are read most here: [key, reads a second, of which at most so many are not its]."""
        top = self.hot_keys.top(HOT_KEYS_LIMIT, self.shared.now_s)
        return {
            "node": self.shared.node_id,
            "sampled": self.hot_keys.sampled,
            "keys": [[each.key, each.reads_per_s, each.error_per_s] for each in top],
        }

    def misses(self) -> dict[str, Any]:
        """Return how many reads found nothing, by reason and by prefix of the key."""
        counts, reasons = self.miss_counts, [reason.name.lower() for reason in MissReason]

        def named(by_reason: list[int] | tuple[int, ...]) -> dict[str, int]:
            return dict(zip(reasons, by_reason, strict=True))

        rows = counts.rows(PREFIXES_LIMIT)
        other = list(counts.other)
        for row in rows[REPORTED_PREFIXES_LIMIT:]:
            other = [one + more for one, more in zip(other, row.by_reason, strict=True)]
        return {
            "node": self.shared.node_id,
            "delimiter": self.settings.prefix_delimiter,
            "by_reason": named(counts.by_reason),
            "prefixes": [
                [without_factor(row.prefix), named(row.by_reason), row.error] for row in rows[:REPORTED_PREFIXES_LIMIT]
            ],
            "other": named(other),
        }

    def _listen(self, tell: Callable[[int, bytes, int], None] | None) -> None:
        self.engine.gone = tell

    def _may_subscribe(self, prefix: bytes) -> bool:
        """Tell whether the namespace of a qualified prefix has key events on: by its settings, else by the node's."""
        name = namespace_of(prefix) if prefix else DEFAULT
        settings = self.shared.namespaces.by_name.get(name)
        return self.settings.key_events if settings is None else settings.key_events
