"""Planted bugs in what namespaces and their entries are promised: events, shares, tags, sliding lives, a fresh start.

What: each lets a rule of ``coordination.key_events``, ``storage.eviction``, ``coordination.sliding`` or of what an
invalidation leaves behind go unkept.

Invariant: as in ``bug``.
"""

from collections.abc import Callable
from typing import Any

from dynacache.coordination.key_events import KeyEvents, Subscription
from dynacache.coordination.sliding import Slider, life_of
from dynacache.coordination.write import Writer
from dynacache.namespaces.names import qualify
from dynacache.storage.engine import Engine
from dynacache.storage.invalidation import Invalidation
from dynacache.storage.replica import Replica
from dynacache.versioning.attachments import value_start
from dynacache.versioning.packed import SLIDING, TAGGED

from ..history import OperationKind
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_STRICT = 3
_ALL = 4
_AHEAD_MS = 60_000


def _uncounted(original: Callable[..., Any]) -> Callable[..., Any]:
    def batch(self: Subscription, *given: Any) -> Any:
        last, _, told = original(self, *given)
        return last, 0, told

    return batch


def _heard_by_all(original: Callable[..., None]) -> Callable[..., None]:
    return lambda self, partition, key, change: self.happened(change, key)


def _nothing(original: Callable[..., Any]) -> Callable[..., int]:
    return lambda *_: 0


def _untagged(original: Callable[..., None]) -> Callable[..., None]:
    def write(
        self: Writer, connection: int, rid: int, key: bytes, partition: int, route: Any, flags: int, payload: bytes,
        *given: Any,
    ) -> None:  # fmt: skip
        if flags & TAGGED and not flags & SLIDING and self.shared.store.peek(partition, key) is not None:
            flags, payload = flags & ~TAGGED, payload[value_start(flags, payload, 0) :]
        original(self, connection, rid, key, partition, route, flags, payload, *given)

    return write


def _haunted(original: Callable[..., None]) -> Callable[..., None]:
    def bury(self: Any, shard: int, key: bytes, record: bytes, left: bytes | None) -> None:
        original(self, shard, key, record, left)
        self._leave_ghost(shard, (self._fingerprint(key), (self._now_ms + _AHEAD_MS) << 16, 0, 0))

    return bury


def _all_haunted(original: Callable[..., None]) -> Callable[..., None]:
    def bury(self: Any, shard: int, keys: list[bytes], records: list[bytes]) -> None:
        original(self, shard, keys, records)
        for key in keys:
            self._leave_ghost(shard, (self._fingerprint(key), (self._now_ms + _AHEAD_MS) << 16, 0, 0))

    return bury


def _without_maximum(original: Callable[..., int]) -> Callable[..., int]:
    def later_end(self: Slider, key: bytes, record: bytes) -> int:
        ttl_ms, expire_ms = life_of(record)
        now_ms = self.shared.now_ms
        return now_ms + ttl_ms if now_ms < expire_ms < now_ms + ttl_ms - ttl_ms // 8 else 0

    return later_end


def _follow(script: Script, **given: Any) -> None:
    script.at(0.0, OperationKind.SUBSCRIBE, key=b"", prefix=b"", changes=15, **given)


def _slow_subscriber() -> Scenario:
    """Values are written faster than a subscriber asks for events."""
    script = Script.of(subscribers=1, event_queue_limit=3, subscriber_pause_s=2.0)
    _follow(script)
    for step in range(30):
        script.set(1.0 + step / 10, key=b"k%d" % (step % 5))
    return script.scenario(6.0)


def _expiring_late() -> Scenario:
    """Values expire when all is calm, and somebody follows."""
    script = Script.of(subscribers=1)
    _follow(script)
    for step in range(6):
        script.set(1.0 + step / 10, key=b"k%d" % step, ttl_s=9.0, level=_ALL)
    return script.scenario(2.0)


def _greedy() -> Scenario:
    """A namespace with a tenth of the memory is given more than that, while there is room."""
    script = Script.of(storage_limit_bytes=140_000, partition_count=16)
    script.at(0.3, OperationKind.CONFIGURE, key=b"", level=_ALL, namespace=b"s1", settings={"memory_share": 0.1})
    for step in range(12):
        script.set(1.0 + step / 20, key=qualify("s1", b"k%d" % step), size=4_000)
    return script.scenario(7.0)


def _overwritten() -> Scenario:
    """Tagged values are written again with their tags, and then invalidated."""
    script = Script.of(exchange_interval_s=1.0)
    keys = [b"k%d" % number for number in range(6)]
    for at_s in (0.5, 1.0):
        for step, key in enumerate(keys):
            script.set(at_s + step / 50, key=key, level=_ALL, tags=[b"a"])
    script.at(1.5, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a")
    for step, key in enumerate(keys):
        script.get(2.5 + step / 20, key=key, level=_STRICT)
    return script.scenario(4.0)


def _written_after() -> Scenario:
    """Keys whose values were invalidated are written again."""
    script = Script.of(exchange_interval_s=1.0, confirm_s=0.2, young_ms=500)
    keys = [b"k%d" % number for number in range(6)]
    for step, key in enumerate(keys):
        script.set(0.5 + step / 50, key=key, level=_ALL, tags=[b"a"])
    script.at(1.5, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a")
    for step, key in enumerate(keys):
        script.set(4.0 + step / 50, key=key, tags=[b"a"])
        script.get(5.0 + step / 50, key=key, level=_STRICT)
    return script.scenario(6.0)


def _maximum_lowered() -> Scenario:
    """A namespace is given a maximum while sliding values with longer lives are in it; they are read later."""
    script = Script.of()
    for step in range(4):
        script.set(0.5 + step / 50, key=b"k%d" % step, level=_ALL, ttl_s=30.0, sliding=True)
    script.at(1.0, OperationKind.CONFIGURE, key=b"", level=_ALL, settings={"maximum_ttl_ms": 4_000})
    for step in range(4):
        script.get(9.0 + step / 50, key=b"k%d" % step, level=_STRICT)
    return script.scenario(11.0)


BUGS = (
    Bug(
        "events lost silently", "I17",
        "a subscriber whose queue ran over is sent what is left as if it were all",
        (Patch(Subscription, "batch", _uncounted),), _slow_subscriber,
    ),
    Bug(
        "every owner tells of an expiry", "I17",
        "each node tells its subscribers of what expires there, whoever else does",
        (Patch(KeyEvents, "gone", _heard_by_all),), _expiring_late,
    ),
    Bug(
        "group share not enforced", "I10",
        "a namespace takes what memory there is, whatever its share",
        (Patch(Engine, "_keep_share", _nothing), Patch(Replica, "_trim_groups", _nothing)), _greedy,
    ),
    Bug(
        "tag dropped on overwrite", "I3",
        "a value that takes the place of another is stored without its tags",
        (Patch(Writer, "set", _untagged),), _overwritten,
    ),
    Bug(
        "ghost of an invalidated entry blocks a newer one", "I2",
        "the sweep leaves ghosts that are newer than what is written next",
        (Patch(Invalidation, "_bury", _haunted), Patch(Invalidation, "_bury_plain", _all_haunted)), _written_after,
    ),
    Bug(
        "sliding renewal beyond the maximum", "I3",
        "a read renews a sliding life by all of it, whatever maximum its namespace has now",
        (Patch(Slider, "_later_end", _without_maximum),), _maximum_lowered,
    ),
)  # fmt: skip
"""Bugs in what is promised of namespaces and of single entries beyond their versions."""
