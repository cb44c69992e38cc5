"""The reports of `dynacache bench --exchange` and `--rest`: figures, promises, and whether they were kept.

What: `exchange_answer` and `rest_answer` turn what was measured into an `Answer`.

Invariant: as for every report of the bench, whatever decides is in the JSON, and a promise that is not kept makes the
exit code 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from dynacache.cli.bench.idle import IdleFigures
from dynacache.cli.bench.trial_report import Promise, broken_promises, promises_record, promises_table
from dynacache.cli.output import Answer, Rows

__all__ = ["exchange_answer", "rest_answer"]

_GROWTH_LIMIT = 2.0
"""Ten times the data may cost at most so many times the bytes."""
_CORE_SHARE_LIMIT = 0.01
_QUIET_MINUTES = 10
_COLUMNS = (
    "entries",
    "differences",
    "exchanges",
    "message pairs",
    "bytes",
    "of these keys and records",
    "processor ms",
)


def exchange_answer(cases: Sequence[Mapping[str, Any]]) -> Answer:
    """The report of exchanges, the smaller data first."""
    rows = tuple(
        (
            f"{each['entries']:,}",
            f"{each['differences']:,}",
            each["exchanges"],
            each["pairs"],
            f"{each['message_bytes'] + each['record_bytes']:,}",
            f"{each['record_bytes']:,}",
            f"{each['cpu_ms']:.1f}",
        )
        for each in cases
    )
    promises = []
    by_case = {(each["entries"], each["differences"]): each for each in cases}
    smaller, larger = sorted({each["entries"] for each in cases})
    for (entries, differences), each in by_case.items():
        if not differences:
            pairs = each["pairs"] / each["exchanges"]
            share = each["cpu_ms"] / 1000 / 2 / each["virtual_s"]
            promises.append(Promise(f"message pairs an exchange, {entries:,} equal entries", round(pairs, 3), 1))
            promises.append(Promise("share of a core for each of the two", round(share, 6), _CORE_SHARE_LIMIT))
        elif entries == larger:
            growth = each["message_bytes"] / by_case[smaller, differences]["message_bytes"]
            name = f"message bytes, {differences:,} differing of {larger:,}, times those of {smaller:,}"
            promises.append(Promise(name, round(growth, 2), _GROWTH_LIMIT))
    title = "two replicas exchange, in one process: until equal, or for five minutes where nothing differs"
    return _answer({"exchanges": [dict(each) for each in cases]}, [Rows(title, _COLUMNS, rows)], promises)


def rest_answer(cases: Sequence[Mapping[str, Any]], idle: IdleFigures) -> Answer:
    """The report of repair at rest."""
    rows, promises = [], []
    for each in cases:
        for minute in sorted({0, 1, 2, each["minutes"] - 1}):
            if minute < each["minutes"]:
                figures = (each[f"{name}_by_minute"][minute] for name in ("differing_leaves", "records", "bytes"))
                rows.append((each["name"], f"{each['entries']:,}", minute + 1, *(f"{figure:,}" for figure in figures)))
        quiet = min(_QUIET_MINUTES, each["minutes"])
        moved = sum(each["records_by_minute"][-quiet:]) + sum(each["differing_leaves_by_minute"][-quiet:])
        promises.append(Promise(f"differences in the last {quiet} min: {each['name']}", moved, 0))
    promises.append(Promise("share of a core for repair, idle node", round(idle.repair, 5), _CORE_SHARE_LIMIT))
    shares = ((f"{idle.nodes}", f"{idle.keys:,}", f"{idle.with_repair:.3%}", f"{idle.without_repair:.3%}"),)
    tables = [
        Rows(
            "two replicas at rest, in one process",
            ("case", "entries", "minute", "differing leaves", "records, ghosts", "bytes"),
            tuple(rows),
        ),
        Rows(
            f"idle nodes, {idle.seconds:g} s: share of one core for each node",
            ("nodes", "keys", "as it is", "without repair"),
            shares,
        ),
    ]
    return _answer({"rest": [dict(each) for each in cases], "idle": attrs.asdict(idle)}, tables, promises)


def _answer(record: Mapping[str, Any], tables: Sequence[Rows], promises: Sequence[Promise]) -> Answer:
    broken = broken_promises(promises)
    return Answer(
        {**record, "promises": promises_record(promises)},
        tables=(*tables, promises_table("", promises)),
        complaint="\n".join(broken),
        exit_code=1 if broken else 0,
    )
