"""The report of `dynacache bench --invalidate`: figures, promises, and whether they were kept.

What: `invalidation_answer` turns what was measured without entries and with them into an `Answer`.

Invariant: as for every report of the bench, whatever decides is in the JSON, and a promise that is not kept makes the
exit code 1. Slices are judged by processor time, which other processes on the machine do not stretch.
"""

from collections.abc import Sequence

import attrs

from dynacache.cli.bench.invalidation import InvalidationFigures
from dynacache.cli.bench.trial_report import Promise, broken_promises, promises_record, promises_table
from dynacache.cli.output import Answer, Rows

__all__ = ["invalidation_answer"]

_GROWTH_LIMIT = 3.0
"""The answer with all entries may take so many times the one without any: caches of the machine, nothing else."""
_SLICE_LIMIT_MS = 5.0
_COLUMNS = (
    "entries",
    "answer, median ms",
    "longest ms of processor",
    "sweep s",
    "sweep processor s",
    "longest slice ms",
    "of processor",
    "slices",
    "stale reads",
)


def invalidation_answer(figures: Sequence[InvalidationFigures]) -> Answer:
    """The report, the fewest entries first."""
    rows = tuple(
        (
            f"{each.entries:,}",
            f"{each.answer_median_ms:.3f}",
            f"{each.answer_longest_cpu_ms:.3f}",
            f"{each.sweep_s:.2f}",
            f"{each.sweep_cpu_s:.2f}",
            f"{each.longest_slice_ms:.2f}",
            f"{each.longest_slice_cpu_ms:.2f}",
            f"{each.slices:,}",
            each.stale_reads,
        )
        for each in figures
    )
    first, last = figures[0], figures[-1]
    growth = last.answer_median_ms / first.answer_median_ms
    promises = [
        Promise(f"answer with {last.entries:,} entries, times that with none", round(growth, 2), _GROWTH_LIMIT),
        Promise("longest slice of the sweep, ms of processor", last.longest_slice_cpu_ms, _SLICE_LIMIT_MS),
        Promise("reads that returned what had been invalidated", sum(each.stale_reads for each in figures), 0),
    ]
    broken = broken_promises(promises)
    return Answer(
        {"invalidations": [attrs.asdict(each) for each in figures], "promises": promises_record(promises)},
        tables=(Rows("one node: a tag invalidated, then everything", _COLUMNS, rows), promises_table("", promises)),
        complaint="\n".join(broken),
        exit_code=1 if broken else 0,
    )
