"""One run: a cluster is born, lives through its faults, is healed, and is judged.

What: ``run`` takes a seed and draws everything; ``run_scenario`` takes options, operations and faults that somebody
chose (shrinking, planted bugs, regression seeds). Both return a ``Result``.

Phases: birth; safety, with workload and faults; faults end (network whole, clocks right, everybody started); the
cluster comes to rest by itself (``world.rest``); nothing moves any more; every key is read once at level all, which
finds nothing to repair; then all checkers judge the evidence.

Invariant: a pure function of its arguments and the code. The trace hash says so: the same seed gives the same hash in
every process.

Verdicts: ``held``; ``violated``, with at least one violation; ``unknown`` where the run could not come to a judgement,
because the cluster was never born, never settled though nothing was wrong any more, or a judge gave up its search.
"""

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from dynacache.types import Level

from .draws import Draws
from .evidence import Evidence, Violation
from .faults import draw as fault_draw
from .faults.schedule import Fault
from .history import OperationKind, OperationRecord
from .options import Options
from .options import draw as draw_options
from .workload import THINK_LIMIT_S, Operation
from .workload import draw as draw_workload
from .world.world import World

__all__ = ["Judge", "Result", "Scenario", "draw_scenario", "run", "run_scenario"]

_FACTOR_LIMIT_S = 20.0
_BIRTH_LIMIT_S = 90.0
_SETTLE_LIMIT_S = 60.0
_REST_S = 3.0
_CLOCKWORK_S = 5.0
"""What goes by its clock, as an expiry, goes on all nodes within this."""
_INSTANT_S = 0.01
"""Many nodes that compare twice a second are seldom between two questions all at once (seed 2269)."""
_LONGEST_REST_S = 12.0
_EXCHANGES_S = 4.5
"""Two nodes compare once in two exchange intervals, a tenth more or less; so this many see each ask at least once."""
_TELLING_LIMIT_S = 20.0
"""Subscribers have heard of everything within this, however long they had to wait before they tried again."""
_FINAL_NUMBER = 1_000_000
"""Final reads are numbered from here."""

Judge = Callable[[Evidence], Sequence[Violation]]


@attrs.frozen
class Scenario:
    """All that decides a run."""

    options: Options
    operations: tuple[Operation, ...]
    faults: tuple[Fault, ...]


@attrs.frozen
class Result:
    """What became of one run."""

    seed: int
    verdict: str
    """held, violated, or unknown."""
    trace_hash: str
    violations: tuple[Violation, ...]
    coverage: dict[str, int]
    virtual_s: float
    operations: int
    events: int
    reason: str = ""
    """Why the verdict is unknown, or what left a core."""
    evidence: Evidence | None = attrs.field(default=None, repr=False)

    @property
    def line(self) -> str:
        """The last line that a run prints."""
        return f"seed {self.seed} trace {self.trace_hash} {self.verdict}"


def draw_scenario(seed: int, **fixed: Any) -> Scenario:
    """Return the options, workload and faults of a seed, some options fixed."""
    options = draw_options(seed, **fixed)
    draws = Draws(options.seed)
    return Scenario(options, draw_workload(options, draws), fault_draw.draw(options, draws))


def run(seed: int, *, keep: bool = False, **fixed: Any) -> Result:
    """Run one seed; ``keep`` keeps the evidence in the result."""
    return run_scenario(draw_scenario(seed, **fixed), keep=keep)


def run_scenario(scenario: Scenario, *, keep: bool = False, judge: Judge | None = None) -> Result:
    """Run a scenario; ``judge`` takes the place of all checkers."""
    world = World(scenario.options)
    reason, end = _live(world, scenario)
    evidence = world.evidence(final_reads=_final_reads(world.history), **end)
    violations, doubt = _judge(world, evidence, judge)
    reason = reason or doubt
    verdict = "violated" if violations else "unknown" if reason else "held"
    coverage = world.recorder.coverage + _counted(evidence)
    return Result(
        seed=scenario.options.seed,
        verdict=verdict,
        trace_hash=world.recorder.digest(),
        violations=violations,
        coverage={name: coverage[name] for name in sorted(coverage)},
        virtual_s=evidence.end_s - 100.0,
        operations=len(evidence.history),
        events=world.heap.calls,
        reason=world.failure or reason,
        evidence=evidence if keep else None,
    )


def _live(world: World, scenario: Scenario) -> tuple[str, dict[str, Any]]:
    """Go through the phases; return why no judgement is possible (empty), and what was seen of the end."""
    options = scenario.options
    world.begin(scenario.faults)
    if any(fault.at_s < 0 for fault in scenario.faults):
        world.advance(fault_draw.STARTUP_S)
    if not world.advance_until(world.founders_serve, _BIRTH_LIMIT_S):
        return _early(world, "the cluster was not born in time"), {"converged": False}
    world.advance_until(world.is_linked, 2.0)
    if not world.advance_until(world.choose_factor(), _FACTOR_LIMIT_S) or not world.advance_until(
        world.clients_rest, _FACTOR_LIMIT_S
    ):
        return _early(world, "a namespace did not get its replication factor in time"), {"converged": False}
    world.phase("safety")
    world.begin_safety(scenario.operations, scenario.faults)
    world.advance(options.duration_s)
    world.advance_until(world.clients_rest, 2 * options.client_timeout_s + THINK_LIMIT_S)
    world.phase("drain")
    world.end_faults()
    settled = world.advance_until(lambda: world.founders_serve() and world.is_linked(), _SETTLE_LIMIT_S)
    rested = world.advance_until(lambda: not _unfinished(world), options.drain_limit_s)
    if not options.healing:
        _read_back(world, scenario)
    unfinished = "" if rested else _unfinished(world)
    world.phase("settle")
    calm = world.recorder.sequence
    _fall_silent(world, options)
    world.phase("rest")
    world.advance(_rest_s(options))
    rested = rested and world.advance_until(lambda: not _unfinished(world), _CLOCKWORK_S, _INSTANT_S)
    end = {
        "converged": rested,
        "unfinished": unfinished or _unfinished(world),
        "snapshots": world.snapshots(),
        "snapshots_sequence": world.recorder.sequence,
        "calm_sequence": calm if rested else 0,
    }
    world.phase("read")
    if options.healing:
        _read_back(world, scenario)
    world.advance_until(world.subscribers_know_all, _TELLING_LIMIT_S)
    world.phase("end")
    if world.heap.halted:
        return _early(world, "stopped"), {"converged": False}
    return "" if settled else "the cluster did not settle in time", end


def _rest_s(options: Options) -> float:
    """Return how long to look at a cluster at rest: every node asks every other one, where that is not too long."""
    return min(_LONGEST_REST_S, max(_REST_S, _EXCHANGES_S * options.exchange_interval_s))


def _fall_silent(world: World, options: Options) -> None:
    """Wait until repair has found nothing for a while: between full stores every difference is tried twice."""
    world.advance(_REST_S)
    until_s = world.heap.now_s + _SETTLE_LIMIT_S
    found = -1
    while found != world.differences_found() and world.heap.now_s < until_s and not world.heap.halted:
        found = world.differences_found()
        if world.is_full():
            world.advance(2 * _rest_s(options))


def _read_back(world: World, scenario: Scenario) -> None:
    _read_all(world, scenario.operations)
    world.advance_until(world.clients_rest, 2 * scenario.options.client_timeout_s + 1.0, 0.05)


def _unfinished(world: World) -> str:
    """Return what is left to do; without healing, hints are all that ends by itself."""
    if world.options.healing:
        return world.unfinished()
    return "" if world.is_drained() and world.is_linked() else "hints are left"


def _early(world: World, reason: str) -> str:
    return world.failure or reason


def _read_all(world: World, operations: Sequence[Operation]) -> None:
    """Read every key of the workload once at level all."""
    keys = sorted({operation.key for operation in operations if operation.key})
    for position, key in enumerate(keys):
        number = _FINAL_NUMBER + position
        arguments = {"level": Level.ALL.value, "full": True}
        client = world.clients[position % len(world.clients)]
        final = Operation(number, 0.0, client.index, OperationKind.GET, key, arguments)
        world.heap.after(0.01 * position, client.start, final)
    world.advance(0.01 * len(keys) + 0.01)


def _final_reads(history: Sequence[OperationRecord]) -> tuple[OperationRecord, ...]:
    return tuple(record for record in history if record.number >= _FINAL_NUMBER)


def _judge(world: World, evidence: Evidence, judge: Judge | None) -> tuple[tuple[Violation, ...], str]:
    """Return what is violated, and what could not be judged (empty if everything was)."""
    if world.error is not None:
        trace = "".join(traceback.format_exception(world.error)[-3:])
        return (Violation("P10", None, f"{world.failure}\n{trace}"),), ""
    if not world.safety_began_s:
        return (), ""  # there never was a cluster to judge
    if judge is not None:
        return tuple(judge(evidence)), ""
    from .checkers import check_all, undecided  # the checkers know runs no more than runs know checkers

    return tuple(check_all(evidence)), undecided(evidence)


def _counted(evidence: Evidence) -> Counter[str]:
    """Rare branches, counted from what the nodes counted and what was observed."""
    counts: Counter[str] = Counter()
    for snapshot in evidence.snapshots.values():
        counts.update({f"node {name}": value for name, value in snapshot.counters.items() if value})
    for event in evidence.store_events:
        place = "hint" if event.place else "store"
        counts[f"{place} {event.cause}"] += 1
    for record in evidence.history:
        counts[f"outcome {record.outcome}"] += 1
        if record.metadata.get("siblings"):
            counts["siblings read"] += 1
        reason = record.metadata.get("miss_reason")
        if reason is not None:
            counts[f"miss reason {reason}"] += 1
        receipt = record.metadata.get("receipt") or {}
        for name in ("stood_in", "unrepaired", "degraded", "unknown"):
            if receipt.get(name):
                counts[f"receipt {name}"] += 1
    for happened in evidence.machines:
        counts[f"machine {happened.kind}"] += 1
    return counts
