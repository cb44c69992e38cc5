"""Planted bugs in healing: copies that were away, repair, transfers, eviction and the trees.

What: each lets a rule of ``dynacache.repair`` or of what it rests on go unkept. Scenarios are scaled down: hints live
for three seconds and the grace of tombstones is nine, so an absence beyond both fits into twenty.

Invariant: as in ``bug``.
"""

from collections.abc import Callable
from typing import Any

from dynacache.coordination.hint_replay import HintReplay
from dynacache.coordination.replica import Replica
from dynacache.node.quarantine import Quarantine
from dynacache.repair import exchange_decisions
from dynacache.repair.exchange import Exchange
from dynacache.repair.exchange_answers import ExchangeAnswers
from dynacache.repair.exchange_ground import ExchangeGround
from dynacache.storage.ghosts import Ghosts
from dynacache.versioning import packed

from ..history import OperationKind
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]

_SCALED: dict[str, Any] = {
    "hint_lifetime_ms": 3_000,
    "hint_settle_s": 1.0,
    "longest_timeout_ms": 5_000,
    "tombstone_grace_ms": 1,
    "exchange_interval_s": 1.0,
    "confirm_s": 0.2,
    "young_ms": 500,
    "transfer_patience_s": 1.0,
    "hints_wait_s": 2.0,
}


def _nothing(original: Callable[..., Any]) -> Callable[..., None]:
    return lambda *_: None


def _true(original: Callable[..., Any]) -> Callable[..., bool]:
    return lambda *_: True


def _whole(original: Callable[..., Any]) -> Callable[..., bytes]:
    return lambda record, time: record


def _none_excluded(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, view: self.engine.warming & self.engine.stale & view.shared & view.warming


def _away_too_long() -> Scenario:
    """An owner is away while a value is deleted and everybody else forgets it."""
    script = Script.of(**_SCALED)
    last = script.owners()[2]
    script.set(0.5, level=4)
    script.part(1.0, 24.0, [last])
    script.at(2.0, OperationKind.DELETE)
    return script.scenario(26.0)


def _late_hint() -> Scenario:
    """A fallback keeps a write for an owner, and is away until the key has been deleted and forgotten."""
    script = Script.of(nodes=5, **_SCALED)
    owners = script.owners()
    fallbacks = [name for name in ("n1", "n2", "n3", "n4", "n5") if name not in owners]
    script.part(1.0, 6.0, [owners[2]])
    for step in range(12):
        script.set(1.5 + step / 4)
    script.part(4.6, 26.0, fallbacks)
    script.at(7.5, OperationKind.DELETE, level=4)
    return script.scenario(30.0)


def _reads_while_filled() -> Scenario:
    """One owner missed writes for longer than they are let in, another lost its memory; strict reads ask these two."""
    script = Script.of(hint_settle_s=40.0, exchange_interval_s=60.0)
    first, second, last = owners = script.owners()
    script.part(1.0, 9.0, [last])
    script.fault(4.5, "crash", node=first, down_s=0.5)
    script.part(9.2, 14.0, [second])
    script.hide(9.1, 15.0, 0, [first, second])
    for step, key in enumerate(script.keys_of(owners, 12)):
        script.set(2.0 + step / 20, level=3, key=key)
        script.get(9.5 + step / 10, level=3, key=key)
    return script.scenario(16.0)


def _absent(original: Callable[..., Any]) -> Callable[..., Any]:
    def answer(self: Replica, key: Any, prefix: Any) -> Any:
        told = original(self, key, prefix)
        return None if told is False else told

    return answer


def _no_room_for_hints() -> Scenario:
    """One owner misses more writes than there is room for hints."""
    script = Script.of(hint_target_limit_count=1, hint_settle_s=1.0, drain_limit_s=30.0)
    owners = script.owners()
    script.part(1.0, 9.0, [owners[2]])
    for step, key in enumerate(script.keys_of(owners, 6)):
        script.set(2.0 + step / 10, key=key)
    return script.scenario(11.0)


def _no_growth(original: Callable[..., int]) -> Callable[..., int]:
    return lambda *_: 0


def _always_admits(original: Callable[..., int]) -> Callable[..., int]:
    return lambda ours, theirs, we_admit, they_admit: original(ours, theirs, True, True)


def _more_than_fits() -> Scenario:
    """Full stores that have evicted different keys."""
    small: dict[str, Any] = {"storage_limit_bytes": 140_000, "partition_count": 16}
    script = Script.of(exchange_interval_s=1.0, confirm_s=0.2, young_ms=500, **small)
    script.part(1.0, 3.0, [script.owners()[2]])
    for step in range(120):
        script.set(0.5 + step / 20, key=b"k%d" % (step % 60), size=3_000)
    return script.scenario(9.0)


def _wrong_clock() -> Scenario:
    """A clock runs a minute ahead while values live that end within it."""
    script = Script.of()
    for step in range(8):
        script.set(0.5 + step / 10, key=b"k%d" % step, ttl_s=30.0)
    script.fault(3.0, "clock_wrong", node=script.owners()[0], offset_ms=60_000, duration_s=5.0)
    return script.scenario(12.0)


BUGS = (
    Bug(
        "a copy that was away too long is trusted", "I3",
        "no copy is ever held stale, however long it was out of touch",
        (Patch(Exchange, "mark_stale", _nothing),), _away_too_long,
    ),
    Bug(
        "a stale copy keeps what is old", "I3",
        "a stale copy that meets a complete one drops nothing",
        (Patch(packed, "since", _whole),), _away_too_long,
    ),
    Bug(
        "stale copies meet complete ones", "I3",
        "a stale copy is compared, and gives what it has, like any other",
        (Patch(ExchangeAnswers, "_may_meet", _true), Patch(ExchangeGround, "excluded", _none_excluded)),
        _away_too_long,
    ),
    Bug(
        "hints outlive their time", "I3",
        "a hint is kept and delivered however old it is",
        (Patch(HintReplay, "_is_wanted", _true), Patch(HintReplay, "_end_unheld", _nothing)), _late_hint,
    ),
    Bug(
        "a copy that is filled answers absent", "I9",
        "a replica that is being filled takes what it lacks for deleted",
        (Patch(Replica, "_answer", _absent),), _reads_while_filled,
    ),
    Bug(
        "owners never compare", "I2",
        "no exchange is ever begun",
        (Patch(Exchange, "_begin", _nothing),), _no_room_for_hints,
    ),
    Bug(
        "full stores are sent what they cannot keep", "I11",
        "repair brings values to a store that has no room for what nobody asked for",
        (Patch(exchange_decisions, "decide", _always_admits),), _more_than_fits,
    ),
    Bug(
        "eviction leaves no ghost", "I15",
        "what is evicted stays in the tree, and nothing remembers it",
        (Patch(Ghosts, "leave", _no_growth),), _more_than_fits,
    ),
    Bug(
        "a wrong clock is believed", "I3",
        "a node whose clock is wrong goes on serving and expiring by it",
        (Patch(Quarantine, "_set", _nothing), Patch(Quarantine, "look", lambda original: lambda self, now: False)),
        _wrong_clock,
    ),
)  # fmt: skip
"""Bugs in healing."""
