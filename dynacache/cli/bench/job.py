"""What the load generator is told, and what it answers: two records that cross a pipe as JSON.

What: a `Job` names the servers, the shape of the load and what to watch; an `Outcome` carries counts, seconds,
latencies and processor time of the measured window alone.

Invariant: everything that decides which bytes are sent is in the job, seed included, so two systems given jobs that
differ only in dialect and targets see the same keys and values in the same order.

Why: the generator is a process of its own. Its processor time is then told apart from everyone else's, its garbage
collector is off, and nothing that draws a screen takes a turn in its loop.
"""

import json
from typing import Any

import attrs

__all__ = ["Job", "Latencies", "Outcome", "percentile"]


@attrs.frozen
class Job:
    """One run of the load generator."""

    dialect: str
    """``dynacache`` or ``redis``."""
    targets: tuple[tuple[str, int], ...]
    """Host and port of each server; connections are spread over them in turn."""
    connections: int = 50
    depth: int = 1
    """Requests sent together on one connection, answered before the next are sent. Open loop ignores it."""
    value_bytes: int = 512
    read_share: float = 0.0
    read_level: int = 2
    write_level: int = 2
    wait: str = "each"
    """Redis only: WAIT 1 after ``each`` SET, after each ``batch`` of them, or ``none``."""
    key_count: int = 10_000
    key_bytes: int = 16
    zipf_exponent: float = 0.0
    trace: str = ""
    """Path of a trace; empty draws keys by the exponent."""
    owners: tuple[tuple[int, ...], ...] | None = None
    """For each partition the targets that own it; None: every target owns everything."""
    sequence: bool = False
    """Send every key once, in order, then stop (filling before a measurement)."""
    seed: int = 1
    warmup_s: float = 0.3
    seconds: float = 1.5
    requests: int = 0
    """Stop after so many requests in the window; 0: after `seconds`."""
    rate: float = 0.0
    """Requests a second, sent on schedule whatever is answered; 0: closed loop."""
    timeout_s: float = 5.0
    """Silence of every server for so long ends the run."""
    watch: tuple[int, ...] = ()
    """Process ids whose processor time is read at both ends of the window."""
    secret: str = attrs.field(default="", repr=False)

    def to_json(self) -> str:
        """The job as one line."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Job":
        """The inverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        fields["targets"] = tuple((host, port) for host, port in fields["targets"])
        fields["watch"] = tuple(fields["watch"])
        if fields["owners"] is not None:
            fields["owners"] = tuple(tuple(targets) for targets in fields["owners"])
        return cls(**fields)


@attrs.frozen
class Latencies:
    """Milliseconds: how long requests took. Closed loop: from sending a batch to its last answer."""

    count: int = 0
    p50_ms: float = 0.0
    p90_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0
    longest_ms: float = 0.0

    @classmethod
    def of(cls, seconds: list[float]) -> "Latencies":
        """Summarise; the list is sorted in place."""
        if not seconds:
            return cls()
        seconds.sort()
        p50, p90, p99, p999 = (percentile(seconds, share) * 1000 for share in (0.5, 0.9, 0.99, 0.999))
        return cls(len(seconds), p50, p90, p99, p999, seconds[-1] * 1000)


@attrs.frozen
class Outcome:
    """What one run measured."""

    requests: int
    failures: int
    misses: int
    seconds: float
    latencies: Latencies
    read_latencies: Latencies
    write_latencies: Latencies
    server_cpu_s: tuple[float, ...]
    """Processor seconds of each watched process within the window; empty where the system does not tell."""
    generator_cpu_s: float
    late_ms: float = 0.0
    """Open loop: 99th percentile of how late the generator itself sent. Latencies include it."""
    unanswered: int = 0
    """Open loop: requests still without an answer when the run ended."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    def to_json(self) -> str:
        """The outcome as one line."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Outcome":
        """The inverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        for name in ("latencies", "read_latencies", "write_latencies"):
            fields[name] = Latencies(**fields[name])
        fields["server_cpu_s"] = tuple(fields["server_cpu_s"])
        return cls(**fields)


def percentile(ordered: list[float], share: float) -> float:
    """The value below which `share` of an ascending, non-empty list lies (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
