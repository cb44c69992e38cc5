"""The reports of `dynacache bench --soak-memory` and `--expiry`: figures, promises, and whether they were kept.

What: `soak_answer` and `expiry_answer` turn what was measured into an `Answer`.

Invariant: as for every report of the bench, whatever decides is in the JSON, and a promise that is not kept makes the
exit code 1. Pauses are judged by the node's processor time; their wall time stands beside it.
"""

from collections.abc import Mapping, Sequence

import attrs

from dynacache.cli.bench.expiry import WITHIN_S, ExpiryFigures
from dynacache.cli.bench.expiry_turns import TurnFigures
from dynacache.cli.bench.soak import Memory, SoakFigures
from dynacache.cli.bench.soak_load import Found
from dynacache.cli.bench.trial_report import Promise, broken_promises, promises_record, promises_table
from dynacache.cli.output import Answer, Rows

__all__ = ["expiry_answer", "soak_answer"]

_BAND = 0.05
_SOAK_PAUSE_MS = 10
_EXPIRY_PAUSE_MS = 5
_LATE_S = 2
_P99_FACTOR = 2
_LOST_RATE = 0.3
_LOAD_COLUMNS = (
    *("load", "requests/s", "server us/request", "failed", "p50 ms", "p99 ms", "longest ms"),
    "of it the node's processor ms",
)


def soak_answer(figures: SoakFigures) -> Answer:
    """The report of a soak."""
    churn, filling = figures.churn_memory, figures.filling_memory
    over = max(churn.most, filling.most) - 1
    promises = [
        Promise("resident memory above the limit, part of it", round(max(0.0, over), 4), _BAND),
        Promise("resident memory below the limit in the median, part of it", round(1 - churn.median, 4), _BAND),
        Promise("longest pause, node's ms", round(figures.churn.longest_cpu_ms, 2), _SOAK_PAUSE_MS),
        Promise("longest pause while filling, node's ms", round(figures.filling.longest_cpu_ms, 2), _SOAK_PAUSE_MS),
        Promise("throughput lost above the limit, part of it", round(1 - figures.kept_rate, 3), _LOST_RATE),
        Promise("the same by processor time", round(1 - figures.kept_cpu_rate, 3), _LOST_RATE),
        Promise("failed requests", figures.below.failures + figures.filling.failures + figures.churn.failures, 0),
    ]
    loads = {
        "filling to the half": figures.inserting,
        "half full": figures.below,
        "filling to 4 times the limit": figures.filling,
        "above": figures.churn,
    }
    memory = [("filling", figures.filling_memory), ("above", churn)]
    memory += [(f"minute {number}", each) for number, each in enumerate(figures.by_minute, 1)]
    shares = Rows("the node's own account at the end, bytes", ("share", "bytes"), tuple(_flat(figures.report).items()))
    title = f"one node, {figures.limit_bytes:,} bytes, values of mixed sizes, {figures.seconds:.0f} s"
    return _answer(
        title,
        attrs.asdict(figures)
        | {"kept_rate": figures.kept_rate, "kept_cpu_rate": figures.kept_cpu_rate}
        | {"kept_of_inserts": figures.kept_of_inserts, "kept_of_mixture": figures.kept_of_mixture},
        promises,
        (_loads(title, loads), _compared(figures), _memory(memory), shares),
    )


def expiry_answer(figures: ExpiryFigures) -> Answer:
    """The report of a million entries that expire."""
    promises = [
        Promise("seconds that an entry was there after its expiry", round(figures.late_s, 2), _LATE_S),
        Promise("entries never freed", figures.left, 0),
        Promise("p99, times the quiet one", round(figures.p99_factor, 2), _P99_FACTOR),
        Promise("longest pause, node's ms", round(figures.meanwhile.longest_cpu_ms, 2), _EXPIRY_PAUSE_MS),
        Promise("failed requests", figures.quiet.failures + figures.meanwhile.failures, 0),
    ]
    turns = figures.turns
    promises += [
        Promise("core of a node: longest turn, ms of processor", turns.longest_turn_ms, _EXPIRY_PAUSE_MS),
        Promise("core of a node: seconds from the end of a second until all due in it was gone", turns.late_s, 1),
        Promise("core of a node: entries never freed", turns.left, 0),
    ]
    title = f"one node, {figures.entries:,} entries that expire within {WITHIN_S:.0f} s"
    loads = {"in quiet": figures.quiet, "while they expire": figures.meanwhile}
    return _answer(title, attrs.asdict(figures), promises, (_loads(title, loads), _turns(turns)))


def _turns(turns: TurnFigures) -> Rows:
    columns = (
        *("us an expired entry", "turns", "longest turn ms", "p99 of requests in quiet ms", "while they expire ms"),
        *("late s", "resident MiB: before the fill", "full", "after"),
    )
    row = (
        *(f"{turns.entry_us:.2f}", f"{turns.turns:,}", f"{turns.longest_turn_ms:.2f}", f"{turns.quiet_p99_ms:.3f}"),
        *(f"{turns.meanwhile_p99_ms:.3f}", f"{turns.late_s:.2f}"),
        *(f"{each / 2**20:.0f}" for each in turns.resident_bytes),
    )
    return Rows("the core of a node alone, by processor time, without a network", columns, (row,))


def _answer(title: str, record: Mapping[str, object], promises: Sequence[Promise], tables: tuple[Rows, ...]) -> Answer:
    broken = broken_promises(promises)
    return Answer(
        {"case": title, **record, "promises": promises_record(promises)},
        tables=(*tables, promises_table("promises", promises)),
        complaint="\n".join(broken),
        exit_code=1 if broken else 0,
    )


def _loads(title: str, loads: Mapping[str, Found]) -> Rows:
    rows = tuple(
        (
            name,
            f"{each.rate:,.0f}",
            f"{1e6 * each.cpu_s / each.requests if each.requests else 0:.1f}",
            each.failures,
            *(f"{figure:.2f}" for figure in (each.p50_ms, each.p99_ms, each.longest_ms, each.longest_cpu_ms)),
        )
        for name, each in loads.items()
    )
    return Rows(title, _LOAD_COLUMNS, rows)


def _compared(figures: SoakFigures) -> Rows:
    """What throughput above the limit is held against."""
    below, churn = figures.below, figures.churn
    inserts, inserts_cpu = figures.kept_of_inserts
    rewrites = f"{100 * below.missing_share:.0f} % and {100 * churn.missing_share:.0f} %"
    rows = (
        ("above, against half full", rewrites, f"{figures.kept_rate:.2f}", f"{figures.kept_cpu_rate:.2f}"),
        ("filling beyond the limit, against filling to the half", "100 %", f"{inserts:.2f}", f"{inserts_cpu:.2f}"),
        ("above, against its mixture with room", "the same", "", f"{figures.kept_of_mixture:.2f}"),
    )
    title = "throughput beyond the limit, as a part of that below"
    return Rows(title, ("compared", "sets that insert", "by the clock", "by the node's processor time"), rows)


def _memory(memory: Sequence[tuple[str, Memory]]) -> Rows:
    rows = tuple(
        (name, *(f"{100 * part:.1f} %" for part in (each.least, each.median, each.most)), each.samples)
        for name, each in memory
    )
    return Rows("resident memory, part of the limit", ("while", "least", "median", "most", "samples"), rows)


def _flat(report: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in report.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            flat[name] = value
    return flat
