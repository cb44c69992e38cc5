"""Schedules of faults, drawn from the options of a run.

What: ``draw`` returns faults over the safety phase, and a few before it when the options say so. Each fault is drawn
from a stream of its own, by its number.

Invariant: memory is lost by the ``victims`` of the run only, however often. Clocks stay within the skew that the
product promises to bear, but for ``clock_wrong``. Every fault ends with the safety phase at the latest.

Losses of memory are drawn to fall beside other trouble half of the time, some on a machine that the others had just
lost sight of, some when another had missed writes, and they last long in a long run.

Why beside: one thing that goes wrong alone is borne easily, and two that are drawn apart hardly ever meet.

Why few victims: who loses its memory before the others have filled it takes the last copy of a write with it, as the
promise says it may; the judge of I1 excuses exactly those writes, and a run in which all is excused shows little.
"""

from collections.abc import Callable
from typing import Any, Final

import attrs

from ..draws import Draws, Stream
from ..options import Options
from .schedule import Fault

__all__ = ["CLOCK_LIMIT_MS", "STARTUP_S", "client_names", "draw", "node_names", "subscriber_names", "victims_of"]

STARTUP_S: Final = 5.0
"""Faults of the start-up lie in this many seconds from its begin; their ``at_s`` is -STARTUP_S to 0."""
CLOCK_LIMIT_MS: Final = 230
"""Wall clocks stay this close to the truth, so that any two stay within the allowed skew."""
_AT_STARTUP: Final = frozenset({"cut", "split", "isolate", "loss", "delay", "reset", "pause", "slow", "crash"})
_WEIGHTS: Final = {"crash": 3.0, "split": 2.0, "isolate": 1.5, "memory": 1.5}
"""How often a kind is drawn beside the others, which count 1."""
_BESIDE: Final = frozenset({"cut", "split", "isolate", "delay", "pause", "slow", "memory"})
"""Trouble that has a duration, beside which a loss of memory does the most harm."""
_AFTER_S: Final = 5.0
"""So long after its end it is still felt: hints have not been delivered yet."""
_LONG_RUN_S: Final = 80.0
_LONG_ABSENCE_S: Final = (55.0, 75.0)


def node_names(options: Options) -> tuple[str, ...]:
    """Return the founders."""
    return tuple(f"n{number}" for number in range(1, options.nodes + 1))


def client_names(options: Options) -> tuple[str, ...]:
    """Return the clients."""
    return tuple(f"client{number}" for number in range(options.clients))


def subscriber_names(options: Options) -> tuple[str, ...]:
    """Return the hosts that follow what happens to keys."""
    return tuple(f"subscriber{number}" for number in range(options.subscribers))


def victims_of(options: Options, draws: Draws) -> tuple[str, ...]:
    """Return the machines whose memory may be lost."""
    return tuple(draws.stream("victim").sample(node_names(options), options.victims))


def _joiner_names(options: Options) -> tuple[str, ...]:
    return tuple(f"j{number}" for number in range(1, options.joiners + 1))


def draw(options: Options, draws: Draws) -> tuple[Fault, ...]:
    """Return the schedule of a run, in order of time."""
    if not options.fault_kinds:
        return ()
    expected = options.faults_per_minute * options.duration_s / 60
    stream = draws.stream("faults")
    count = int(expected) + stream.chance(expected % 1.0)
    faults = [_fault(options, draws, draws.stream("fault", number), 0.0) for number in range(count)]
    faults = _gathered(options, draws, faults)
    faults = [_at_once(draws, number, fault, faults) for number, fault in enumerate(faults)]
    early = sorted(_AT_STARTUP.intersection(options.fault_kinds))
    if options.startup_faults and early:
        kinds = [draws.stream("startup fault", number).choice(early) for number in range(2)]
        for number, kind in enumerate(kinds):
            own = draws.stream("early", number)
            at_s = own.uniform(-STARTUP_S, 0.0)
            faults.append(Fault(round(at_s, 3), kind, _ARGUMENTS[kind](options, draws, own)))
    joins = [fault for fault in faults if fault.kind == "join"]
    faults = [fault for fault in faults if fault.kind != "join" or fault in joins[: options.joiners]]
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _fault(options: Options, draws: Draws, stream: Stream, begin_s: float) -> Fault:
    kinds = [kind for kind in options.fault_kinds if kind != "join" or options.joiners]
    kind = stream.weighted([(kind, _WEIGHTS.get(kind, 1.0)) for kind in kinds or ["reset"]])
    at_s = round(stream.uniform(begin_s, options.duration_s * 0.9), 3)
    return Fault(at_s, kind, _ARGUMENTS[kind](options, draws, stream))


def _gathered(options: Options, draws: Draws, faults: list[Fault]) -> list[Fault]:
    """Move some losses of memory next to other trouble, cut some machines off first, make some stay away long."""
    anchors = [fault for fault in faults if fault.kind in _BESIDE]
    gathered = []
    for number, fault in enumerate(faults):
        stream = draws.stream("gathered", number)
        if fault.kind in ("crash", "stop") and anchors and stream.chance(0.5):
            fault = _beside(options, stream, fault, stream.choice(anchors))
        if fault.kind == "crash":
            if options.duration_s >= _LONG_RUN_S and stream.chance(0.5):
                long_s = round(stream.uniform(*_LONG_ABSENCE_S), 3)
                fault = attrs.evolve(fault, arguments=fault.arguments | {"down_s": long_s})
            if "split" in options.fault_kinds and stream.chance(0.2):
                gathered.append(_alone_before(stream, fault))
            elif "split" in options.fault_kinds and stream.chance(0.3):
                gathered.append(_other_behind(options, stream, fault))
        gathered.append(fault)
    return gathered


def _at_once(draws: Draws, number: int, fault: Fault, faults: list[Fault]) -> Fault:
    """Let some changes of place begin together with another, so that one of the two has to make way."""
    others = [other for other in faults if other.kind in ("join", "leave", "remove") and other is not fault]
    stream = draws.stream("at once", number)
    if fault.kind not in ("join", "leave") or not others or not stream.chance(0.4):
        return fault
    return attrs.evolve(fault, at_s=round(stream.choice(others).at_s + stream.uniform(0.0, 0.3), 3))


def _beside(options: Options, stream: Stream, fault: Fault, anchor: Fault) -> Fault:
    end_s = anchor.at_s + float(anchor.arguments["duration_s"]) + _AFTER_S
    return attrs.evolve(fault, at_s=round(stream.uniform(anchor.at_s, min(end_s, options.duration_s)), 3))


def _alone_before(stream: Stream, crash: Fault) -> Fault:
    """The machine that dies was lost to the others a while before, and not to the clients."""
    begin_s = round(max(0.0, crash.at_s - _span(stream, 0.1, 5.0)), 3)
    duration_s = round(crash.at_s - begin_s + _span(stream, 1.0, 20.0), 3)
    return Fault(begin_s, "split", {"side": [crash.arguments["node"]], "duration_s": duration_s})


def _other_behind(options: Options, stream: Stream, crash: Fault) -> Fault:
    """Another machine has missed what was written last, and is back about when the one that dies is."""
    other = stream.choice([name for name in node_names(options) if name != crash.arguments["node"]])
    begin_s = round(max(0.0, crash.at_s - stream.uniform(5.0, 15.0)), 3)
    duration_s = round(crash.at_s - begin_s + stream.uniform(0.0, 3.0), 3)
    return Fault(begin_s, "split", {"side": [other], "duration_s": duration_s})


_Drawer = Callable[[Options, Draws, Stream], dict[str, Any]]


def _span(stream: Stream, low_s: float, high_s: float) -> float:
    """A duration; short ones are as likely as long ones."""
    return float(round(low_s * (high_s / low_s) ** stream.uniform(), 3))


def _some(stream: Stream, names: tuple[str, ...]) -> list[str]:
    return sorted(stream.sample(names, stream.integer(1, max(1, len(names) - 1))))


def _node(options: Options, stream: Stream) -> str:
    return stream.choice(node_names(options) + _joiner_names(options))


def _cut(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    nodes = node_names(options)
    everyone = nodes + client_names(options) + subscriber_names(options) if stream.chance(0.3) else nodes
    sources = _some(stream, everyone)
    targets = _some(stream, nodes)
    return {"sources": sources, "targets": targets, "duration_s": _span(stream, 0.2, 20.0)}


def _split(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    return {"side": _some(stream, node_names(options)), "duration_s": _span(stream, 0.5, 20.0)}


def _with_node(**spans: tuple[float, float]) -> _Drawer:
    def drawer(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
        return {"node": _node(options, stream)} | {name: _span(stream, *span) for name, span in spans.items()}

    return drawer


def _rate(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    return {"rate": round(stream.uniform(0.01, 0.3), 3), "duration_s": _span(stream, 0.5, 10.0)}


def _corrupt(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    return {"rate": round(stream.uniform(0.005, 0.1), 3), "duration_s": _span(stream, 0.5, 10.0)}


def _reset(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    first, second = (stream.sample(node_names(options), 2) * 2)[:2]
    return {"first": first, "second": second}


def _victim(options: Options, draws: Draws, stream: Stream) -> str:
    victims = victims_of(options, draws)
    return stream.choice(victims) if len(victims) > 1 else victims[0]


def _crash(options: Options, draws: Draws, stream: Stream) -> dict[str, Any]:
    return {"node": _victim(options, draws, stream), "down_s": _span(stream, 0.3, 12.0)}


def _stop(options: Options, draws: Draws, stream: Stream) -> dict[str, Any]:
    within_s = round(stream.uniform(0.5, 5.0), 3)
    return {"node": _victim(options, draws, stream), "within_s": within_s, "down_s": _span(stream, 0.3, 8.0)}


def _wipe(options: Options, draws: Draws, stream: Stream) -> dict[str, Any]:
    victims = victims_of(options, draws)
    nodes = stream.sample(victims, stream.integer(1, len(victims)))
    return {"nodes": nodes, "apart_s": _span(stream, 0.1, 20.0), "down_s": _span(stream, 0.3, 5.0)}


def _join(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    return {"node": f"j{stream.integer(1, max(1, options.joiners))}"}


def _leave(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    node = stream.choice(node_names(options) + _joiner_names(options))
    return {"node": node, "down_s": _span(stream, 0.5, 60.0)}


def _remove(options: Options, draws: Draws, stream: Stream) -> dict[str, Any]:
    after_s = _span(stream, 1.0, 10.0)
    return {"node": _victim(options, draws, stream), "after_s": after_s, "down_s": _span(stream, 8.0, 60.0)}


def _standstill(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    nodes = node_names(options)
    some = nodes if stream.chance(0.5) else tuple(_some(stream, nodes))
    return {"nodes": sorted(some), "duration_s": _span(stream, 5.0, 40.0)}


def _blackout(_: Options, __: Draws, stream: Stream) -> dict[str, Any]:
    return {"duration_s": _span(stream, 5.0, 40.0)}


def _clock_wrong(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    offset_ms = int(_span(stream, 800.0, 60_000.0)) * stream.choice([-1, 1])
    return {"node": _node(options, stream), "offset_ms": offset_ms, "duration_s": _span(stream, 1.0, 20.0)}


def _repair_now(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    return {"node": _node(options, stream)}


def _clock_offset(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    offset_ms = stream.integer(-CLOCK_LIMIT_MS, CLOCK_LIMIT_MS)
    return {"node": _node(options, stream), "offset_ms": offset_ms, "duration_s": _span(stream, 0.5, 20.0)}


def _clock_drift(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    parts = stream.integer(-500, 500)
    return {"node": _node(options, stream), "parts_per_million": parts, "duration_s": _span(stream, 1.0, 20.0)}


def _memory(options: Options, _: Draws, stream: Stream) -> dict[str, Any]:
    limit = stream.integer(60_000, 130_000)
    return {"node": _node(options, stream), "limit_bytes": limit, "duration_s": _span(stream, 1.0, 20.0)}


_ARGUMENTS: Final[dict[str, _Drawer]] = {
    "cut": _cut,
    "split": _split,
    "isolate": _with_node(duration_s=(0.5, 20.0)),
    "loss": _rate,
    "duplicate": _rate,
    "reorder": _rate,
    "corrupt": _corrupt,
    "delay": _with_node(extra_s=(0.005, 1.0), duration_s=(0.5, 10.0)),
    "reset": _reset,
    "pause": _with_node(duration_s=(0.1, 15.0)),
    "slow": _with_node(factor_s=(0.0005, 0.1), duration_s=(0.5, 10.0)),
    "crash": _crash,
    "stop": _stop,
    "join": _join,
    "clock_offset": _clock_offset,
    "clock_drift": _clock_drift,
    "memory": _memory,
    "leave": _leave,
    "remove": _remove,
    "wipe": _wipe,
    "standstill": _standstill,
    "blackout": _blackout,
    "clock_wrong": _clock_wrong,
    "repair_now": _repair_now,
}
