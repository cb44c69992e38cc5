"""The measurement of invalidations, on few entries, in this process and in a child."""

import gc

from dynacache.cli.bench import invalidation


def test_everything_is_swept_and_nothing_stale_is_read() -> None:
    before = gc.isenabled(), gc.get_freeze_count()
    figures = invalidation.run_here(1_500)
    assert figures.entries == 1_500
    assert figures.slices > 1
    assert figures.stale_reads == 0
    assert figures.answer_median_ms > 0
    assert figures.longest_slice_cpu_ms > 0
    assert (gc.isenabled(), gc.get_freeze_count()) == before, "a measurement leaves the collector as it was"


def test_a_child_tells_the_same_figures() -> None:
    figures = invalidation.measure(0)
    assert figures.entries == 0
    assert figures.slices <= 1
