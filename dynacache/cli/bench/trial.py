"""A cluster that is changed under load: fill it, load it, time what happens in between, and judge every write.

What: a `Trial` starts nodes, writes every key once, and lets pretended users of the public client read and write until
the end. `stretch` times a part of that: requests, failures, latencies, and the bytes that nodes took from each other.
`finish` stops the users, reads back every key and judges.

Invariant: what was filled in is judged like any other acknowledged write. A stretch counts what began and ended in it;
bytes are those that the receivers counted, also of nodes that have ended since, as they were last asked.

Why the client's own view: a node that says it is fine is no evidence; a user who was served is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from dynacache.cli.demo.journal import Journal, stamp
from dynacache.cli.demo.read_back import read_back
from dynacache.cli.demo.verdict import Verdict, acknowledged_keys, judge
from dynacache.cli.demo.workload import Counts, Shape, Workload
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import StartFailed
from dynacache.cli.session import CacheClient, Connection, client_factory

__all__ = ["Stretch", "Trial", "shape_of_trial"]

_CLIENT_TIMEOUT_S = 5.0
_FILL_BATCH = 250
_SAMPLE = 40
_PAUSE_S = 0.1
_RECEIVED = ("transfer_bytes_in", "exchange_bytes_received")


@attrs.frozen
class Stretch:
    """A part of a trial, as its users saw it."""

    name: str
    seconds: float
    requests: int
    failed: int
    unknown: int
    p50_ms: float
    p99_ms: float
    moved_bytes: int
    """Bytes that nodes took in from each other by transfers and repair."""
    ideal_bytes: int = 0
    """The least that a change of members has to move; 0 where nothing has to."""


def shape_of_trial(keys: int, value_bytes: int, rate: float, seed: int) -> Shape:
    """The load of a trial: keys used evenly, as many reads as writes, so that much is written while data move."""
    names = tuple(b"trial:%08d" % number for number in range(keys))
    return Shape(
        keys=names, zipf_exponent=0.0, read_share=0.5, value_bytes=value_bytes, rate=rate, workers=4, seed=seed
    )


@attrs.define(eq=False)
class Trial:
    """One cluster under load."""

    cluster: LocalCluster
    shape: Shape
    tell: Callable[[str], None]
    stretches: list[Stretch] = attrs.field(factory=list)
    workload: Workload = attrs.field(init=False)
    _client: CacheClient = attrs.field(init=False)
    _filled: Journal = attrs.field(init=False)
    _received: dict[int, int] = attrs.field(factory=dict, init=False)
    """Bytes taken in, by process id."""

    def __attrs_post_init__(self) -> None:
        """Give the fill the writer's number after the last user's."""
        self._filled = Journal(self.shape.workers)

    def start(self) -> None:
        """Start the nodes, fill them and let the users begin; raises StartFailed."""
        self.tell(f"starting {self.cluster.count} nodes on {', '.join(self.cluster.addresses)}")
        self.cluster.start()
        self.tell(f"all agree after {self.cluster.wait_until_agreed():.1f} s")
        connection = Connection(server=self.cluster.addresses, timeout=_CLIENT_TIMEOUT_S)
        self._client = client_factory.get()(connection)
        self.tell(f"filling it with {len(self.shape.keys):,} keys")
        self._fill()
        self.workload = Workload(self.shape, self._client)
        self.workload.start()

    def _fill(self) -> None:
        keys, journal = self.shape.keys, self._filled
        for start in range(0, len(keys), _FILL_BATCH):
            positions = range(start, min(start + _FILL_BATCH, len(keys)))
            sequences = [journal.begin(position, time.monotonic()) for position in positions]
            pairs = zip(positions, sequences, strict=True)
            values = {keys[p]: stamp(keys[p], journal.writer, s, self.shape.value_bytes) for p, s in pairs}
            self._client.set_many(values)
            for sequence in sequences:
                journal.acknowledge(sequence, time.monotonic())

    @contextmanager
    def stretch(self, name: str, ideal_copies: float = 0.0) -> Iterator[None]:
        """Time the block; `ideal_copies` is how many copies of all the data have to move in it."""
        self.tell(name)
        before, moved = self.workload.counts(), self._moved()
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        counts = self.workload.counts()
        latencies = counts.latencies.since(before.latencies)
        self.stretches.append(
            Stretch(
                name=name,
                seconds=round(seconds, 2),
                requests=counts.requests - before.requests,
                failed=counts.failed - before.failed,
                unknown=counts.unknown - before.unknown,
                p50_ms=round(latencies.percentile_ms(0.5), 3),
                p99_ms=round(latencies.percentile_ms(0.99), 3),
                moved_bytes=self._moved() - moved,
                ideal_bytes=int(ideal_copies * self.data_bytes()) if ideal_copies else 0,
            )
        )

    def p99_ms_of(self, before: Counts) -> float:
        """The 99th percentile of all requests since an earlier moment."""
        return self.workload.counts().latencies.since(before.latencies).percentile_ms(0.99)

    def wait(self, seconds: float) -> None:
        """Let the load go on."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(_PAUSE_S, left))

    def until(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until something holds, and keep an eye on the nodes; raises StartFailed."""
        ends = time.monotonic() + timeout_s
        while not holds():
            self._moved()
            if time.monotonic() > ends:
                raise StartFailed(f"{what}: not within {timeout_s:g} s")
            time.sleep(_PAUSE_S)

    def is_complete(self, position: int) -> bool:
        """Whether a node is ready and holds everything that it owns."""
        report = self.cluster.report(position, "ready")
        return bool(report.get("ready")) and report.get("warming_partitions") == 0

    def data_bytes(self) -> int:
        """Bytes of one copy of all the data as it travels: keys and records, from a sample."""
        keys = self.shape.keys[:: max(1, len(self.shape.keys) // _SAMPLE)]
        sizes = [size for key in keys if (size := self._record_bytes(key))]
        if not sizes:
            raise StartFailed("no node tells how large its records are")
        return int(sum(sizes) / len(sizes) * len(self.shape.keys))

    def _record_bytes(self, key: bytes) -> int:
        for address in self.cluster.addresses:
            copy: Any = self._client.report("explain", key, address=address).get("copy", {})
            if copy.get("held"):
                return len(key) + int(copy["record"]["bytes"])
        return 0

    def _moved(self) -> int:
        for position, child in enumerate(self.cluster.children):
            told = self.cluster.report(position, "statistics") if child.running else {}
            if told:
                self._received[child.pid] = sum(int(told.get(name, 0)) for name in _RECEIVED)
        return sum(self._received.values())

    def finish(self) -> Verdict:
        """Stop the users, read everything back at quorum and judge; raises StartFailed where a user came to grief."""
        ended = self.workload.stop()
        crashes = [worker.crash for worker in self.workload.workers if worker.crash]
        if crashes or not ended:
            raise StartFailed(f"the load did not end well: {'; '.join(crashes) or 'a request never ended'}")
        journals: Sequence[Journal] = [*self.workload.journals, self._filled]
        positions = acknowledged_keys(journals)
        self.tell(f"reading back {len(positions):,} keys at quorum")
        return judge(journals, self.shape.keys, read_back(self._client, self.shape.keys, positions))

    def close(self) -> None:
        """Close the users' connections, whatever has happened."""
        if hasattr(self, "workload"):
            self.workload.stop()
        if hasattr(self, "_client"):
            self._client.close()
        self.cluster.close()
