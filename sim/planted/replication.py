"""Planted bugs in replication: quorums, hints, repair, memory that is not complete.

What: each lets a promise of ``dynacache.coordination`` or ``dynacache.repair`` go unkept while the answer to the client
stays the same.

Invariant: as in ``bug``. Most scenarios end with the loss of one memory, which is what the acknowledgement was for.
"""

from collections.abc import Callable
from typing import Any

from dynacache.coordination import read_operation, routes
from dynacache.coordination.hint_replay import HintReplay
from dynacache.coordination.replica import Replica
from dynacache.coordination.tally import Tally
from dynacache.coordination.write_group import WriteGroup
from dynacache.node import Node
from dynacache.repair.hints import HintStore
from dynacache.types import Level

from ..history import OperationKind
from ..run import Scenario
from .bug import Bug, Patch, Script

__all__ = ["BUGS"]


def _drop_hint(original: Callable[..., bool]) -> Callable[..., bool]:
    def add(
        self: HintStore, target: str, partition: int, key: bytes, record: bytes, now_ms: int, *, counted: bool
    ) -> bool:
        return True if counted else original(self, target, partition, key, record, now_ms, counted=counted)

    return add


def _stood_in_for() -> Scenario:
    """A write is acknowledged by its first owner and fallbacks; then the owner's memory is lost."""
    script = Script.of(nodes=5, hint_settle_s=1.0)
    first, *others = script.owners()
    script.set(0.5)
    script.part(1.0, 10.0, list(others))
    script.set(3.0)
    script.fault(4.0, "crash", node=first, down_s=1.0)
    return script.scenario(12.0)


def _acknowledge_unmerged(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, payload: None


def _then_lost() -> Scenario:
    script = Script.of()
    script.set(0.5)
    script.fault(2.0, "crash", node=script.owners()[0], down_s=1.0)
    return script.scenario(6.0)


def _one_is_enough(original: Any) -> Any:
    def at_level(cls: type[Tally], level: int, owner_sets: Any) -> Tally:
        tally: Tally = original.__func__(cls, level, owner_sets)
        tally.required = tuple(1 for _ in tally.required)
        return tally

    return classmethod(at_level)


def _before_it_left() -> Scenario:
    """What the coordinator sends is held up, and then its memory is lost."""
    script = Script.of()
    first, *others = script.owners()
    script.set(0.5)
    script.fault(1.0, "cut", sources=[first], targets=others, duration_s=8.0)
    script.set(1.05)
    script.fault(1.3, "crash", node=first, down_s=10.0)
    return script.scenario(14.0)


def _no_delivery(original: Callable[..., None]) -> Callable[..., None]:
    return lambda self, target: None


def _missed_by_one() -> Scenario:
    script = Script.of(hint_settle_s=1.0, drain_limit_s=15.0)
    script.part(1.0, 9.0, [script.owners()[2]])
    script.set(2.0)
    return script.scenario(11.0)


def _never_delivered(original: Callable[..., bool]) -> Callable[..., bool]:
    return lambda self, target, key, record: False


def _no_targets(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda operation: ([], [])


def _no_room_for_hints() -> Scenario:
    """One owner misses more writes than there is room for hints; only reading can repair the rest."""
    script = Script.of(hint_target_limit_count=1, hint_settle_s=1.0, healing=False)
    owners = script.owners()
    script.part(1.0, 9.0, [owners[2]])
    for step, key in enumerate(script.keys_of(owners, 6)):
        script.set(2.0 + step / 10, key=key)
    return script.scenario(11.0)


def _complete(original: Callable[..., None]) -> Callable[..., None]:
    def init(self: Node, *arguments: Any) -> None:
        given = list(arguments)
        given[5] = True
        original(self, *given)

    return init


def _reads_after_loss() -> Scenario:
    """One owner missed a write, another lost its memory; only the third still knows."""
    script = Script.of(hint_settle_s=40.0, healing=False)
    first, last, _ = owners = script.owners()
    script.part(1.0, 9.0, [last])
    script.fault(4.5, "crash", node=first, down_s=0.5)
    for step, key in enumerate(script.keys_of(owners, 12)):
        script.set(2.0 + step / 10, level=3, key=key)
        script.get(15.0 + step / 5, level=3, key=key)
    return script.scenario()


def _sloppy_needed(original: Callable[..., tuple[int, ...]]) -> Callable[..., tuple[int, ...]]:
    def needed(*arguments: Any) -> tuple[int, ...]:
        by_level = list(original(*arguments))
        by_level[Level.STRICT_QUORUM] = by_level[Level.QUORUM]
        return tuple(by_level)

    return needed


def _sloppy_start(original: Callable[..., None]) -> Callable[..., None]:
    def start(self: WriteGroup) -> None:
        if self.level == Level.STRICT_QUORUM:
            self.level = Level.QUORUM
        original(self)

    return start


def _two_sides() -> Scenario:
    """A strict write reaches one owner and fallbacks; a strict read then asks the other two."""
    script = Script.of(nodes=5, hint_settle_s=40.0)
    first, *others = script.owners()
    script.set(0.5, level=3)
    script.part(1.0, 12.0, list(others))
    script.set(3.0, level=3, client=1)
    script.fault(4.0, "isolate", node=first, duration_s=8.0)
    for step in range(6):
        script.get(6.0 + step / 2, level=3)
    return script.scenario(14.0)


def _loses_memory(scenario: Scenario) -> bool:
    return any(fault.kind in ("crash", "stop") for fault in scenario.faults)


def _is_strict(scenario: Scenario) -> bool:
    """Return whether strict writes and strict reads occur: only they promise what a fallback must not stand in for."""
    strict = [each for each in scenario.operations if each.arguments["level"] in (Level.STRICT_QUORUM, Level.ALL)]
    return len({each.kind is OperationKind.GET for each in strict}) == 2


def _has_fallbacks(scenario: Scenario) -> bool:
    options = scenario.options
    return options.nodes + options.joiners > options.replication_factor and _is_strict(scenario)


def _is_strict_and_loses_memory(scenario: Scenario) -> bool:
    return _loses_memory(scenario) and _is_strict(scenario)


BUGS = (
    Bug(
        "hint dropped silently", "I1",
        "a fallback acknowledges for an absent owner and keeps nothing",
        (Patch(HintStore, "add", _drop_hint),), _stood_in_for,
    ),
    Bug(
        "acknowledged before it is stored", "I1",
        "a replica acknowledges a group of writes and merges none of them",
        (Patch(Replica, "_merge", _acknowledge_unmerged),), _then_lost,
    ),
    Bug(
        "quorum of one", "I1",
        "the tally of a write is won by the first answer, whatever the level",
        (Patch(Tally, "at_level", _one_is_enough),), _before_it_left, _loses_memory,
    ),
    Bug(
        "quorum counts a fallback as home", "I9",
        "at strict_quorum the answer of a fallback counts like that of the owner it stands in for",
        (Patch(routes._Reachable, "needed", _sloppy_needed), Patch(WriteGroup, "start", _sloppy_start)), _two_sides,
        _has_fallbacks,
    ),
    Bug(
        "hints are never replayed", "I2",
        "an owner that is back is not brought what it missed",
        (Patch(HintReplay, "_deliver", _no_delivery),), _missed_by_one,
    ),
    Bug(
        "delivered hints are kept", "I11",
        "a hint that was taken by its target stays, and is sent again and again",
        (Patch(HintStore, "delivered", _never_delivered),), _missed_by_one,
    ),
    Bug(
        "a read repairs nobody", "I2",
        "a read that meets different versions answers with the merged one and leaves the replicas as they are",
        (Patch(read_operation, "repair_targets", _no_targets),), _no_room_for_hints,
    ),
    Bug(
        "a miss by a node that does not know", "I9",
        "a node that lost its memory takes itself for complete, and answers absent instead of unknown",
        (Patch(Node, "__init__", _complete),), _reads_after_loss,
        _is_strict_and_loses_memory,
    ),
)  # fmt: skip
"""Bugs in replication."""
