"""What a trial has shown: its stretches, what was promised, and whether it was kept.

What: `trial_answer` turns stretches and promises into an `Answer`; `kept_promises` states the two that every trial
makes: no request failed, no acknowledged write was lost.

Invariant: a promise that is not kept is spelled out with its figure and makes the exit code 1; everything that decides
is in the JSON.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from dynacache.cli.bench.trial import Stretch
from dynacache.cli.demo.verdict import Verdict
from dynacache.cli.demo.workload import Counts
from dynacache.cli.output import Answer, Rows

__all__ = [
    "Promise",
    "broken_promises",
    "kept_promises",
    "promises_record",
    "promises_table",
    "trial_answer",
]

_COLUMNS = ("stretch", "seconds", "requests", "failed", "p50 ms", "p99 ms", "moved", "ideal", "moved / ideal")
_MEGABYTE = 1e6


@attrs.frozen
class Promise:
    """Something that was promised, the figure it is judged by, and the most that the figure may be."""

    name: str
    figure: float
    limit: float

    @property
    def kept(self) -> bool:
        """Whether the figure is within the limit."""
        return self.figure <= self.limit


def kept_promises(counts: Counts, verdict: Verdict) -> list[Promise]:
    """What every trial promises."""
    return [
        Promise("failed requests", counts.failed + counts.unknown, 0),
        Promise("lost acknowledged writes", verdict.lost_acknowledged_writes, 0),
        Promise("values of nobody or of another key", verdict.foreign_values + counts.wrong_values, 0),
    ]


def promises_table(title: str, promises: Sequence[Promise]) -> Rows:
    """Promises as people read them."""
    rows = tuple((each.name, f"{each.figure:g}", f"{each.limit:g}", "yes" if each.kept else "NO") for each in promises)
    return Rows(title, ("promise", "figure", "at most", "kept"), rows)


def promises_record(promises: Sequence[Promise]) -> list[dict[str, Any]]:
    """Promises as programs read them."""
    return [attrs.asdict(each) | {"kept": each.kept} for each in promises]


def broken_promises(promises: Sequence[Promise]) -> list[str]:
    """A sentence for each promise that is not kept."""
    return [f"{each.name}: {each.figure:g}, promised at most {each.limit:g}" for each in promises if not each.kept]


def trial_answer(
    title: str,
    settings: Mapping[str, Any],
    stretches: Sequence[Stretch],
    promises: Sequence[Promise],
    verdict: Verdict,
    counts: Counts,
) -> Answer:
    """The report of one trial."""
    rows = tuple(_row(stretch) for stretch in stretches)
    broken = broken_promises(promises)
    errors = [f"{count} times {error}" for error, count in counts.errors.most_common(3)]
    described = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
    record = {
        "trial": title,
        "settings": dict(settings),
        "stretches": [attrs.asdict(stretch) for stretch in stretches],
        "promises": promises_record(promises),
        "requests": counts.requests,
        "verdict": attrs.asdict(verdict),
        "errors": dict(counts.errors),
    }
    judged = f"{counts.requests:,} requests, {verdict.acknowledged_writes:,} acknowledged writes judged"
    return Answer(
        record,
        tables=(
            Rows(f"{title}: {described}", _COLUMNS, rows),
            promises_table(judged, promises),
        ),
        complaint="\n".join([*broken, *errors, *verdict.examples]) if broken else "",
        exit_code=1 if broken else 0,
    )


def _row(stretch: Stretch) -> tuple[object, ...]:
    ratio = f"{stretch.moved_bytes / stretch.ideal_bytes:.2f}" if stretch.ideal_bytes else "-"
    return (
        stretch.name,
        f"{stretch.seconds:.1f}",
        f"{stretch.requests:,}",
        stretch.failed + stretch.unknown,
        f"{stretch.p50_ms:.2f}",
        f"{stretch.p99_ms:.2f}",
        f"{stretch.moved_bytes / _MEGABYTE:.1f} MB",
        f"{stretch.ideal_bytes / _MEGABYTE:.1f} MB" if stretch.ideal_bytes else "-",
        ratio,
    )
