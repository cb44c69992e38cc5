"""The report of invalidations: what is promised, and what a broken promise does."""

import attrs

from dynacache.cli.bench.invalidation import InvalidationFigures
from dynacache.cli.bench.invalidation_report import invalidation_answer

NONE = InvalidationFigures(0, 0.02, 0.1, 0.0, 0.0, 0.0, 0.0, 0, 0)
FULL = InvalidationFigures(1_000_000, 0.03, 0.1, 20.0, 4.0, 9.0, 3.0, 4_000, 0)


def test_constant_answers_and_short_slices_keep_every_promise() -> None:
    answer = invalidation_answer([NONE, FULL])
    assert (answer.exit_code, answer.complaint) == (0, "")
    assert len(answer.record["promises"]) == 3
    assert answer.tables[0].rows[1][0] == "1,000,000"


def test_what_grows_or_stalls_or_is_stale_breaks_them() -> None:
    answer = invalidation_answer(
        [NONE, attrs.evolve(FULL, answer_median_ms=0.2, longest_slice_cpu_ms=6.0, stale_reads=1)]
    )
    assert answer.exit_code == 1
    assert len(answer.complaint.split("\n")) == 3
