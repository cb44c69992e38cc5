"""The bench's report: the same figures as tables and as JSON.

What: `report_answer` and `memory_answer` turn outcomes into an `Answer`.

Invariant: whatever a table shows is in the JSON; every figure that was taken over several rounds carries its spread; a
failure, a miss or a request without an answer is spelled out and sets the exit code.

Why a verdict is left to the reader: the targets are in the documentation, and depend on the machine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from dynacache.cli.bench.job import Outcome
from dynacache.cli.bench.memory import MemoryFigures
from dynacache.cli.bench.redis_memory import RedisMemory
from dynacache.cli.bench.rounds import Spread, Summary, ratio_of, summarise
from dynacache.cli.output import Answer, Rows

__all__ = ["memory_answer", "report_answer"]

_COLUMNS = (
    *("case", "system", "requests/s", "lowest-highest", "p50 ms", "p99 ms", "p99.9 ms"),
    *("server us/request", "generator us/request", "generator share"),
)
_OURS = "dynacache"


def report_answer(
    settings: Mapping[str, Any], found: Mapping[str, Mapping[str, Sequence[Outcome]]], open_loop: bool
) -> Answer:
    """The report of a load, by case and system."""
    rows: list[tuple[object, ...]] = []
    ratio_rows: list[tuple[object, ...]] = []
    record: list[dict[str, Any]] = []
    complaints = []
    for case, systems in found.items():
        summaries = {name: summarise(outcomes) for name, outcomes in systems.items()}
        ratios = _ratios(systems, open_loop)
        for name, summary in summaries.items():
            rows.append(_row(case, name, summary, open_loop))
            complaints += _complaints(case, name, summary)
        ratio_rows += [(case, f"{_OURS} / {name}", what, *_cells(ratio)) for name, what, ratio in ratios]
        record.append(
            {
                "case": case,
                "systems": {name: attrs.asdict(summary) for name, summary in summaries.items()},
                "ratios": [{"against": n, "of": what} | attrs.asdict(ratio) for n, what, ratio in ratios],
            }
        )
    columns = (*_COLUMNS, "sent late ms") if open_loop else _COLUMNS
    tables = [Rows(_title(settings), columns, tuple(rows))]
    if ratio_rows:
        tables.append(Rows("ratios, round by round", ("case", "of", "figure", "median", "spread"), tuple(ratio_rows)))
    return Answer(
        {"settings": dict(settings), "cases": record},
        tables=tuple(tables),
        complaint="\n".join(complaints),
        exit_code=1 if complaints else 0,
    )


def _ratios(systems: Mapping[str, Sequence[Outcome]], open_loop: bool) -> list[tuple[str, str, Spread]]:
    ours = systems.get(_OURS)
    if ours is None:
        return []
    measures = {"requests/s": lambda each: each.rate}
    if open_loop:
        measures = {"p50": lambda each: each.latencies.p50_ms, "p99": lambda each: each.latencies.p99_ms}
    found = []
    for name, theirs in systems.items():
        for what, measure in measures.items():
            ratio = None if name == _OURS else ratio_of(ours, theirs, measure)
            if ratio is not None:
                found.append((name, what, ratio))
    return found


def _row(case: str, name: str, summary: Summary, open_loop: bool) -> tuple[object, ...]:
    cells: tuple[object, ...] = (
        case,
        name,
        f"{summary.rate.median:,.0f}",
        f"{summary.rate.lowest:,.0f}-{summary.rate.highest:,.0f}",
        f"{summary.p50_ms.median:.2f}",
        f"{summary.p99_ms.median:.2f}",
        f"{summary.p999_ms.median:.2f}",
        "-" if summary.server_cpu_us is None else f"{summary.server_cpu_us:.1f}",
        f"{summary.generator_cpu_us:.1f}",
        f"{summary.generator_share:.0%}",
    )
    return (*cells, f"{summary.late_ms:.2f}") if open_loop else cells


def _cells(ratio: Spread) -> tuple[str, str]:
    return f"{ratio.median:.2f}", f"{ratio.lowest:.2f}-{ratio.highest:.2f}"


def _complaints(case: str, name: str, summary: Summary) -> list[str]:
    counts = {"failed": summary.failures, "missed": summary.misses, "were not answered": summary.unanswered}
    return [f"{case}, {name}: {count} requests {what}" for what, count in counts.items() if count]


def _title(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items() if value is not None)


def memory_answer(figures: Sequence[MemoryFigures], redis: Sequence[RedisMemory] = ()) -> Answer:
    """The report of fills without and with expiry, by policy, and of the same in Redis where it was measured."""
    columns = (
        "system",
        "eviction",
        "entries",
        "expiry",
        "resident B/entry",
        "accounted B/entry",
        "longest insert",
        "longest collection",
    )
    rows = tuple(
        (
            _OURS,
            each.eviction,
            f"{each.entries:,}",
            f"{each.ttl_s:g} s" if each.ttl_s else "never",
            f"{each.resident_overhead_bytes:.1f}",
            f"{each.accounted_overhead_bytes:.1f}",
            f"{each.longest_insert_ms:.2f} ms (processor {each.longest_insert_cpu_ms:.2f})",
            f"{each.longest_collection_ms:.2f} ms (processor {each.longest_collection_cpu_ms:.2f})",
        )
        for each in figures
    )
    rows += tuple(
        (
            f"redis {each.version}",
            each.eviction,
            f"{each.entries:,}",
            f"{each.ttl_s:g} s" if each.ttl_s else "never",
            f"{each.resident_overhead_bytes:.1f}",
            f"{each.accounted_overhead_bytes:.1f}",
            "-",
            "-",
        )
        for each in redis
    )
    title = f"bytes above payload; keys of {figures[0].key_bytes}, values of {figures[0].value_bytes} bytes"
    record = {"fills": [attrs.asdict(each) for each in figures], "redis": [attrs.asdict(each) for each in redis]}
    return Answer(record, tables=(Rows(title, columns, rows),))
