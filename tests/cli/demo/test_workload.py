"""Workers under a clock of their own: what they ask, what they count, what they note."""

from collections import Counter
from typing import Any

import attrs
import pytest

from dynacache.cli.demo.journal import read_stamp
from dynacache.cli.demo.verdict import Reading, judge
from dynacache.cli.demo.workload import Counts, Shape, Worker, Workload
from dynacache.errors import NotEnoughReplicas, TimedOut
from tests.cli.fakes import FakeClient

KEYS = tuple(b"k%d" % number for number in range(20))


@attrs.define
class VirtualClock:
    """Moves a millisecond at each look, and by what is slept."""

    now_s: float = 0.0
    slept_s: float = 0.0

    def read(self) -> float:
        self.now_s += 0.001
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.slept_s += seconds


def run_worker(client: FakeClient, requests: int, **shape: Any) -> tuple[Worker, VirtualClock]:
    clock = VirtualClock()
    worker = Worker(0, attrs.evolve(Shape(KEYS, workers=1, value_bytes=60), **shape), client, clock.read, clock.sleep)
    worker.run(lambda: worker.counts.requests >= requests)
    return worker, clock


def test_reads_and_writes_come_in_the_share_asked_for() -> None:
    client = FakeClient()
    worker, _ = run_worker(client, 5000)
    counted = Counter(call[0] for call in client.calls)
    assert worker.counts.reads == counted["get"]
    assert abs(counted["get"] / 5000 - 0.8) < 0.03
    assert 0 < worker.counts.hits < worker.counts.reads
    assert worker.counts.latencies.count == 5000
    assert worker.counts.failed == worker.counts.unknown == worker.counts.wrong_values == 0


def test_every_write_is_stamped_and_noted() -> None:
    client = FakeClient()
    worker, _ = run_worker(client, 300)
    writes = [call for call in client.calls if call[0] == "set"]
    assert len(writes) == len(worker.journal.began)
    for sequence, (_, key, value, ttl, _) in enumerate(writes):
        found = read_stamp(value)
        assert found is not None
        assert (found.key, found.writer, found.sequence, ttl, len(value)) == (key, 0, sequence, None, 60)
        assert KEYS[worker.journal.key_positions[sequence]] == key
        assert worker.journal.write(sequence).acknowledged


def test_a_trace_is_read_through_in_order() -> None:
    trace = (3, 3, 1, 3, 2)
    client = FakeClient()
    worker, _ = run_worker(client, 8, trace=trace)
    asked = [(call[0], call[1]) for call in client.calls[:8]]
    assert asked == [
        ("get", b"k3"),
        ("set", b"k3"),
        ("get", b"k3"),
        ("get", b"k1"),
        ("set", b"k1"),
        ("get", b"k3"),
        ("get", b"k2"),
        ("set", b"k2"),
    ]
    assert (worker.counts.reads, worker.counts.hits) == (5, 2)


def test_workers_share_a_trace_without_overlap() -> None:
    shape = Shape(KEYS, trace=tuple(range(20)), workers=4)
    asked: list[bytes] = []
    for number in range(4):
        client = FakeClient(dict.fromkeys(KEYS, b""))
        worker = Worker(number, shape, client, VirtualClock().read)
        counts = worker.counts
        worker.run(lambda counts=counts: bool(counts.requests >= 5))  # type: ignore[misc]
        asked += [call[1] for call in client.calls]
    assert sorted(asked) == sorted(KEYS)


@pytest.mark.parametrize(
    ("error", "failed", "unknown", "refused"),
    [(NotEnoughReplicas("1 of 2"), 100, 0, True), (TimedOut("late"), 0, 100, False)],
)
def test_failed_and_unknown_writes(error: Exception, failed: int, unknown: int, refused: bool) -> None:
    worker, _ = run_worker(FakeClient(errors={"set": error}), 100, read_share=0.0)
    counts = worker.counts
    assert (counts.failed, counts.unknown) == (failed, unknown)
    assert counts.availability == 0.0
    assert counts.errors == {f"{type(error).__name__}: {error}": 100}
    assert all(worker.journal.write(number).refused is refused for number in range(100))
    assert not any(worker.journal.write(number).acknowledged for number in range(100))


def test_a_read_is_never_of_unknown_fate() -> None:
    worker, _ = run_worker(FakeClient(errors={"get": TimedOut("late")}), 100, read_share=1.0)
    assert (worker.counts.failed, worker.counts.unknown, worker.counts.hits) == (100, 0, 0)


@pytest.mark.parametrize("value", ["text", b"0 0 another\n...", b"nothing"])
def test_values_of_other_keys_are_counted(value: object) -> None:
    client = FakeClient(dict.fromkeys(KEYS, value))
    worker, _ = run_worker(client, 50, read_share=1.0)
    assert worker.counts.wrong_values == 50


def test_the_rate_is_kept() -> None:
    _, clock = run_worker(FakeClient(), 1000, rate=100.0)
    assert 9.5 < clock.now_s < 10.5
    assert clock.slept_s > 1


def test_a_stall_is_not_made_up_for_in_a_burst_longer_than_a_second() -> None:
    client = FakeClient()
    clock = VirtualClock()
    shape = Shape(KEYS, workers=1, rate=100.0)
    worker = Worker(0, shape, client, clock.read, clock.sleep)
    worker.run(lambda: worker.counts.requests >= 100)
    clock.now_s += 50.0
    before_s = clock.now_s
    worker.run(lambda: worker.counts.requests >= 400)
    assert clock.now_s - before_s > 1.5


def test_a_defect_is_reported_as_one() -> None:
    with pytest.raises(ZeroDivisionError):
        run_worker(FakeClient(errors={"get": ZeroDivisionError("x")}), 10)


def test_threads_end_and_their_counts_add_up() -> None:
    client = FakeClient()
    workload = Workload(Shape(KEYS, workers=3, value_bytes=40), client)
    workload.start()
    while workload.counts().requests < 300:
        pass
    assert workload.stop()
    counts = workload.counts()
    assert counts.requests == sum(worker.counts.requests for worker in workload.workers)
    assert [journal.writer for journal in workload.journals] == [0, 1, 2]
    assert not [worker.crash for worker in workload.workers if worker.crash]
    readings = {
        number: Reading(tuple(found for found in [read_stamp(client.values.get(key))] if found))
        for number, key in enumerate(KEYS)
    }
    assert judge(workload.journals, KEYS, readings).lost_acknowledged_writes == 0


def test_no_requests_is_full_availability() -> None:
    assert (Counts().availability, Counts().hit_ratio) == (1.0, 0.0)
