"""Planted bugs in invalidation: epochs, their way through the cluster, tags, and fills that come too late.

What: each lets a rule of ``storage.epochs``, ``storage.invalidation``, ``coordination.invalidate``,
``coordination.fills`` or ``node.catalogue_sync`` go unkept.

Invariant: as in ``bug``.
"""

from collections.abc import Callable
from typing import Any

import attrs

from dynacache.coordination import conditional, scan
from dynacache.coordination.fills import parse_fill
from dynacache.coordination.invalidate import Invalidator
from dynacache.node.catalogue_change import Levels
from dynacache.node.catalogue_sync import CatalogueSync
from dynacache.storage.engine import Engine
from dynacache.storage.epochs import Epochs, _Space
from dynacache.storage.invalidation import Invalidation
from dynacache.versioning import kernel
from dynacache.versioning.attachments import join_tags, tags_of
from dynacache.versioning.packed import TAGGED

from ..history import OperationKind
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_STRICT = 3
_ALL = 4
_TAGGED: dict[str, Any] = {"hint_settle_s": 1.0, "exchange_interval_s": 1.0, "confirm_s": 0.2, "young_ms": 500}


def _every_other(original: Callable[..., int]) -> Callable[..., int]:
    def sweep(self: Invalidation, shard: int, keys: list[bytes]) -> int:
        return original(self, shard, keys) if shard % 2 else 0

    return sweep


def _unjudged(original: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(self: Engine, *given: Any) -> Any:
        judging, self._judging = self._judging and self._unswept, False
        try:
            return original(self, *given)
        finally:
            self._judging = judging or bool(self.epochs)

    return wrapped


def _minimum(original: Callable[..., bool]) -> Callable[..., bool]:
    def raise_to(self: Epochs, kind: int, namespace: bytes, argument: bytes, epoch: int) -> bool:
        held = self.get(kind, namespace, argument)
        return original(self, kind, namespace, argument, min(held, epoch) if held else epoch)

    return raise_to


def _soon_over(original: Callable[..., bool]) -> Callable[..., bool]:
    return lambda self, stamp: self.shared.now_ms - (stamp >> 16) > 1_000


def _now(original: Callable[..., Any]) -> Callable[..., Any]:
    def parse(shared: Any, key: bytes, token: bytes) -> Any:
        return attrs.evolve(parse_fill(shared, key, token), time=shared.clock.last)

    return parse


def _always(original: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *_: True


def _never(original: Callable[..., bool]) -> Callable[..., bool]:
    return lambda *_: False


def _first_tag(original: Callable[..., int]) -> Callable[..., int]:
    return lambda self, block: original(self, join_tags(tags_of(TAGGED, block)[:1]))


def _reached(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *_: None


def _nothing(original: Callable[..., Any]) -> Callable[..., None]:
    return lambda *_: None


def _tagged_values(script: Script, at_s: float, count: int = 12, **given: Any) -> list[bytes]:
    """Write values with the tags a and b."""
    keys = [b"k%d" % number for number in range(count)]
    for step, key in enumerate(keys):
        script.set(at_s + step / 50, key=key, level=_ALL, tags=[b"a", b"b"], **given)
    return keys


def _invalidated(tag: bytes = b"a") -> Scenario:
    """All values are invalidated by a tag, and read at once and later."""
    script = Script.of(**_TAGGED)
    keys = _tagged_values(script, 0.5)
    script.at(1.5, OperationKind.INVALIDATE_TAG, key=b"", tag=tag)
    for step, key in enumerate(keys):
        script.get(2.0 + step / 20, key=key, level=_STRICT)
        script.get(4.0 + step / 20, key=key, level=_STRICT)
    return script.scenario(6.0)


def _invalidated_again() -> Scenario:
    """What was written after one invalidation is ended by the next."""
    script = Script.of(**_TAGGED)
    _tagged_values(script, 0.5)
    script.at(1.5, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a")
    keys = _tagged_values(script, 3.0)
    script.at(4.0, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a")
    for step, key in enumerate(keys):
        script.get(4.5 + step / 20, key=key, level=_STRICT)
    return script.scenario(6.0)


def _one_is_away(*, reset: bool = False) -> Scenario:
    """An owner is away while values are invalidated, and comes back with them after the sweep of the others."""
    script = Script.of(**_TAGGED)
    keys = _tagged_values(script, 0.5)
    *others, last = script.owners()
    script.part(1.2, 5.0, [last])
    for other in others if reset else []:
        script.fault(4.0, "reset", first=other, second=last)  # else what was on its way comes after all
    script.at(1.5, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a")
    for step, key in enumerate(keys):
        script.get(8.0 + step / 20, key=key, level=_STRICT)
    return script.scenario(10.0)


def _late_writes() -> Scenario:
    """Writes that an owner missed reach it as hints, after they were invalidated and all was swept."""
    script = Script.of(**(_TAGGED | {"hint_settle_s": 4.0, "exchange_interval_s": 60.0}))
    last = script.owners()[2]
    script.part(1.0, 3.0, [last])
    keys = [b"k%d" % number for number in range(12)]
    for step, key in enumerate(keys):
        script.set(1.5 + step / 50, key=key, tags=[b"a"])
    script.at(2.5, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a")
    return script.scenario(12.0)


def _slow_fill(kind: OperationKind) -> Scenario:
    """A value is loaded while it is invalidated, or its key deleted, at another node."""
    script = Script.of(**_TAGGED)
    keys = [b"k%d" % number for number in range(6)]
    for step, key in enumerate(keys):
        script.at(0.5 + step / 50, OperationKind.FILL, key=key, value=b"fill %d" % step, tags=[b"a"], think_s=2.0)
        if kind is OperationKind.DELETE:
            script.set(1.2 + step / 50, key=key, client=1)
            script.at(1.5 + step / 50, kind, key=key, client=1)
        script.get(4.0 + step / 20, key=key, level=_STRICT)
    if kind is not OperationKind.DELETE:
        script.at(1.5, kind, key=b"", client=1, tag=b"a")
    return script.scenario(6.0)


def _author_apart() -> Scenario:
    """Values are invalidated at an owner that reaches nobody, and read at the two others."""
    script = Script.of(**_TAGGED)
    first, second, last = owners = script.owners()
    keys = script.keys_of(owners, 6)
    for step, key in enumerate(keys):
        script.set(0.5 + step / 50, key=key, level=_ALL, tags=[b"a"])
    script.part(1.0, 8.0, [last])
    script.hide(0.9, 8.0, 1, [first, second])
    script.at(1.2, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a", client=1)
    for step, key in enumerate(keys):
        script.get(6.0 + step / 20, key=key, level=_STRICT)
    return script.scenario(9.0)


def _reader_apart() -> Scenario:
    """The coordinator of reads has not heard of an invalidation that the owner it asks knows of."""
    script = Script.of(**(_TAGGED | {"exchange_interval_s": 60.0}))
    first, second, last = owners = script.owners()
    keys = script.keys_of(owners, 6)
    for step, key in enumerate(keys):
        script.set(0.5 + step / 50, key=key, level=_ALL, tags=[b"a"])
    script.hide(0.9, 6.0, 1, [first])
    script.hide(0.9, 6.0, 0, [second, last])
    script.cut(1.0, 6.0, [last], [first])
    script.cut(1.0, 2.0, [second], [first])
    script.at(1.2, OperationKind.INVALIDATE_TAG, key=b"", tag=b"a", client=1)
    for step, key in enumerate(keys):
        script.get(1.9 + step / 50, key=key, level=_STRICT)
    return script.scenario(7.0)


def _behind_the_page(original: Callable[..., bytes]) -> Callable[..., bytes]:
    return lambda partition, after=b"": original(partition, after + bytes([255]) if after else after)


def _scanned() -> Scenario:
    """Keys of one partition, more than a page, are scanned."""
    script = Script.of(partition_count=16, **_TAGGED)
    for number in range(60):
        script.set(0.5 + number / 100, key=b"k%d" % number, level=_ALL)
    script.at(2.0, OperationKind.SCAN, key=b"", prefix=b"k")
    return script.scenario(4.0)


BUGS = (
    Bug(
        "the sweep forgets partitions", "I3",
        "a sweep passes by every other partition, and takes the store for swept",
        (Patch(Invalidation, "_sweep_keys", _every_other),), _invalidated,
    ),
    Bug(
        "epochs do not judge what comes in", "I3",
        "once a store is swept, what is written or merged is not held against the epochs",
        (Patch(Engine, "put", _unjudged), Patch(Engine, "merge", _unjudged)), _late_writes,
    ),
    Bug(
        "epochs merge by minimum", "I3",
        "of two epochs of a tag the earlier one counts",
        (Patch(Epochs, "raise_to", _minimum),), _invalidated_again,
    ),
    Bug(
        "an epoch retires early", "I3",
        "an epoch is forgotten after a second",
        (Patch(Invalidator, "_is_over", _soon_over),), _one_is_away,
    ),
    Bug(
        "a fill is dated when it is written", "I3",
        "a fill has the time of its write, and not that of the miss it began with",
        (Patch(conditional, "parse_fill", _now),), lambda: _slow_fill(OperationKind.INVALIDATE_TAG),
    ),
    Bug(
        "a fill is a write like any other", "I3",
        "a fill is stored whatever happened to its key meanwhile, with the time of its write, and yields to nothing",
        (
            Patch(conditional, "parse_fill", _now), Patch(conditional, "may_fill", _always),
            Patch(kernel, "_fills_yield", _never),
        ), lambda: _slow_fill(OperationKind.DELETE),
    ),
    Bug(
        "only the first tag counts", "I3",
        "a value ends by the first of its tags alone",
        (Patch(_Space, "until", _first_tag),), lambda: _invalidated(b"b"),
    ),
    Bug(
        "an invalidation is acknowledged at once", "I3",
        "an invalidation is acknowledged at any level when its own node has it",
        (Patch(Levels, "lacking", _reached),), _author_apart,
    ),
    Bug(
        "a quorum read ignores what others know", "I3",
        "a coordinator does not pull what an answerer's catalogue has and its own has not",
        (Patch(CatalogueSync, "is_behind", _never),), _reader_apart,
    ),
    Bug(
        "a scan goes on behind its page", "I16",
        "the cursor of a page stands behind all keys that begin with its last one",
        (Patch(scan, "pack_cursor", _behind_the_page),), _scanned,
    ),
    Bug(
        "catalogues are never compared", "I2",
        "a change that a push did not bring is never pulled",
        (Patch(CatalogueSync, "_ask", _nothing),), lambda: _one_is_away(reset=True),
    ),
)  # fmt: skip
"""Bugs in invalidation."""
