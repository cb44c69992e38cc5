"""The collector is calmed, goes on finding cycles, and its share of the time is bounded."""

import gc
from collections.abc import Iterator

import pytest

from dynacache.events import Note
from dynacache.runtime import collector
from dynacache.runtime.collector import FULL_INTERVAL_S, YOUNG_THRESHOLD, CollectorCare, calm


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_calm_freezes_and_keeps_the_collector_on() -> None:
    calm()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == YOUNG_THRESHOLD
    assert gc.get_threshold()[2] >= 100_000


class Cycle:
    """Refers to itself."""

    alive = 0

    def __init__(self) -> None:
        self.itself = self
        Cycle.alive += 1

    def __del__(self) -> None:
        Cycle.alive -= 1


def test_young_cycles_are_still_found() -> None:
    calm()
    Cycle()
    kept = [[number] for number in range(3 * YOUNG_THRESHOLD)]
    assert Cycle.alive == 0
    assert len(kept) == 3 * YOUNG_THRESHOLD


def test_a_full_collection_comes_when_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 100.0, 100.5, 101.0, 100.6 + FULL_INTERVAL_S, 1101.0, 1101.001])
    monkeypatch.setattr(collector, "monotonic_now", lambda: next(clock))
    notes: list[Note] = []
    collected: list[int] = []

    def collect() -> int:
        collected.append(1)
        return 0

    monkeypatch.setattr(gc, "collect", collect)
    care = CollectorCare(notes.append)
    care.collect()
    assert collected == []
    care.collect()
    assert len(collected) == 1
    assert [note.event for note in notes] == ["collector.pause"]
    assert care.pause_s_max == 0.5
    # Half a second of pause was long: the next one comes only after a thousand seconds.
    care.collect()
    care.collect()
    assert len(collected) == 1
    care.collect()
    assert len(collected) == 2
    assert len(notes) == 1
