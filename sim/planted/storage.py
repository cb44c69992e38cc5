"""Planted bugs in storage: limits, accounts, expiry, tombstones.

What: each breaks one rule of ``dynacache.storage`` or of the hint store's budget.

Invariant: as in ``bug``.
"""

from collections.abc import Callable
from typing import Any

from dynacache.repair.hints import HintStore
from dynacache.storage.accounting import object_bytes
from dynacache.storage.engine import Engine
from dynacache.storage.holdings import Holdings
from dynacache.storage.reaper import Reaper
from dynacache.storage.tables import TableSet
from dynacache.versioning import packed

from ..history import OperationKind
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_LATER_MS = 10_000


def _reap_at_once(original: Callable[..., Any]) -> Callable[..., Any]:
    def sweep(
        self: Reaper, tombstones: TableSet, now_ms: int, count: int, held: Any, confirmed: Any = None
    ) -> tuple[list[tuple[int, bytes, bool]], int]:
        entries = [(shard, tombstones.tables[shard].entries) for shard in sorted(tombstones.occupied)]
        dropped = [(shard, key, False) for shard, keys in entries for key in keys]
        return dropped, len(dropped)

    return sweep


def _deleted_meanwhile() -> Scenario:
    """An owner misses a delete, and is asked before its hint arrives."""
    script = Script.of(hint_settle_s=12.0)
    last = script.owners()[2]
    script.set(0.5, level=4)
    script.part(1.0, 9.0, [last])
    script.at(2.0, OperationKind.DELETE)
    for step in range(4):
        script.get(9.4 + step / 4, level=4)
    return script.scenario(16.0)


def _restart_expiry(original: Callable[..., Any]) -> Callable[..., Any]:
    def merge(self: Engine, partition: int, key: bytes, incoming: bytes, now_ms: int) -> bytes | None:
        expire_ms = packed.HEADER.unpack_from(incoming)[6]
        if expire_ms > now_ms and incoming[1] == packed.VALUE:
            incoming = packed.touch(incoming, expire_ms + _LATER_MS)
        result: bytes | None = original(self, partition, key, incoming, now_ms)
        return result

    return merge


def _short_lives() -> Scenario:
    script = Script.of()
    script.set(0.5, ttl_s=3.0)
    for step in range(4):
        script.get(5.0 + step, level=4)
    return script.scenario()


def _always_room(original: Callable[..., bool]) -> Callable[..., bool]:
    return lambda self, target, grown, is_new: True


def _many_hints() -> Scenario:
    script = Script.of(hint_target_limit_count=2, hint_settle_s=1.0)
    script.part(1.0, 6.0, [script.owners()[2]])
    for step in range(12):
        script.set(2.0 + step / 10, key=b"k%d" % step)
    return script.scenario(8.0)


def _admit_all(original: Callable[..., None]) -> Callable[..., None]:
    return lambda self, growth, spared, writer=None: None


def _evict_nothing(original: Callable[..., int]) -> Callable[..., int]:
    return lambda self, spared, goal_bytes, most_count=0, writer=None, within=None: 0


def _more_than_fits() -> Scenario:
    script = Script.of(storage_limit_bytes=130_000)
    for step in range(80):
        script.set(0.5 + step / 20, key=b"k%d" % step, size=4_000)
    return script.scenario(6.0)


def _forget_growth(original: Callable[..., None]) -> Callable[..., None]:
    def replace(self: Holdings, shard: int, key: bytes, old: bytes, record: bytes) -> None:
        original(self, shard, key, old, record)
        growth = object_bytes(len(record)) - object_bytes(len(old))
        if growth > 0:
            self._live_bytes -= growth
            self._used_bytes -= growth

    return replace


def _growing_values() -> Scenario:
    script = Script.of()
    for step in range(8):
        script.set(0.5 + step / 2, size=100 * (step + 1))
    return script.scenario(8.0)


BUGS = (
    Bug(
        "tombstone dropped early", "I3",
        "a tombstone is reaped at the next clean-up, whoever has not seen it yet",
        (Patch(Reaper, "sweep", _reap_at_once),), _deleted_meanwhile,
    ),
    Bug(
        "expiry restarted on arrival", "I3",
        "a replica counts a value's time to live from when it received it",
        (Patch(Engine, "merge", _restart_expiry),), _short_lives,
    ),
    Bug(
        "hint budget ignored", "I10",
        "hints are taken beyond the limits for their target and node",
        (Patch(HintStore, "_room", _always_room),), _many_hints,
    ),
    Bug(
        "memory limit ignored", "I10",
        "the store takes entries without making room for them",
        (Patch(Holdings, "_make_room", _admit_all), Patch(Holdings, "_evict", _evict_nothing)), _more_than_fits,
    ),
    Bug(
        "growth is not accounted", "I15",
        "an entry that grows is accounted at its old size",
        (Patch(Holdings, "_replace", _forget_growth),), _growing_values,
    ),
)  # fmt: skip
"""Bugs in storage."""
