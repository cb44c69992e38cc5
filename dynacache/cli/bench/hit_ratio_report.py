"""The report of hit ratios: one table, and what follows from it.

What: ``hit_ratio_answer`` turns the measurements into an `Answer`: a row for each trace and size, a column for each
system, then how far our best is behind the best library, how far our ``lru`` is from the exact one, and the time of an
access.

Invariant: whatever the table shows is in the JSON. A system that was not measured at a size shows a dash.

Why differences in points: a ratio of ratios would make much of caches that hit nothing.
"""

from collections.abc import Sequence

import attrs

from dynacache.cli.bench.cache_libraries import LIBRARIES
from dynacache.cli.bench.hit_ratio import POLICIES, HitRatio
from dynacache.cli.output import Answer, Rows

__all__ = ["hit_ratio_answer"]

_LRU_POINTS = 1.0
_BEST_POINTS = 2.0


def hit_ratio_answer(found: Sequence[HitRatio]) -> Answer:
    """The report; exit code 1 if our best is more than 2 points behind the best library, or our ``lru`` more than 1
    behind the exact one, anywhere."""
    systems = list(dict.fromkeys(each.system for each in found))
    by_case: dict[tuple[str, str, float, int], dict[str, HitRatio]] = {}
    for each in found:
        by_case.setdefault((each.trace, each.unit, each.share, each.capacity), {})[each.system] = each
    rows, complaints, verdicts = [], [], []
    for (trace, unit, share, capacity), reached in by_case.items():
        ratio = {system: 100 * each.hit_ratio for system, each in reached.items()}
        behind_exact = ratio["exact lru"] - ratio["lru"]
        libraries = [ratio[name] for name in LIBRARIES if name in ratio]
        behind_best = max(libraries) - max(ratio[name] for name in POLICIES) if libraries else None
        cells = [f"{ratio[system]:.2f}" if system in ratio else "-" for system in systems]
        shown = "-" if behind_best is None else f"{-behind_best:+.2f}"
        rows.append((trace, unit, f"{share:.0%}", f"{capacity:,}", *cells, shown, f"{-behind_exact:+.2f}"))
        case = f"{trace} by {unit} at {share:.0%}"
        verdicts.append({"case": case, "best_behind_library": behind_best, "lru_behind_exact": behind_exact})
        if behind_exact > _LRU_POINTS:
            complaints.append(f"{case}: lru is {behind_exact:.2f} points behind the exact one")
        if behind_best is not None and behind_best > _BEST_POINTS:
            complaints.append(f"{case}: our best is {behind_best:.2f} points behind the best library")
    columns = ("trace", "unit", "size", "capacity", *systems, "best - library", "lru - exact")
    record = {"measured": [attrs.asdict(each) for each in found], "verdicts": verdicts}
    return Answer(
        record,
        tables=(Rows("hit ratio, %", columns, tuple(rows)), _times(found, systems)),
        complaint="; ".join(complaints),
        exit_code=1 if complaints else 0,
    )


def _times(found: Sequence[HitRatio], systems: Sequence[str]) -> Rows:
    rows = []
    for system in systems:
        times = [each.ns_per_access for each in found if each.system == system]
        rows.append((system, f"{sum(times) / len(times):,.0f}", f"{min(times):,.0f}", f"{max(times):,.0f}"))
    return Rows("time of an access with its fill, ns", ("system", "mean", "least", "most"), tuple(rows))
