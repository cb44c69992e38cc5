"""The requests of a run, drawn before it starts: which key, read or write.

What: `requests_for` gives each target its own list of `Request`, as long as fits a bounded number of bytes once
encoded; connections walk through it from different places and begin again at its end.

Invariant: a function of the job alone. With ``owners`` a target is asked only for keys that the partition-aware client
would ask it for; without, all targets share one list. Either way the same keys are drawn, so a comparison is fair.

Why: nothing is drawn, hashed or encoded while the clock runs.
"""

import random
from pathlib import Path

import attrs

from dynacache.cli.bench.job import Job
from dynacache.cli.traces import read_trace
from dynacache.cli.zipf import KeySampler
from dynacache.placement.partitions import key_hash, partition_of

__all__ = ["STREAM_LIMIT_BYTES", "STREAM_LIMIT_COUNT", "Request", "key_text", "payload_of", "requests_for"]

STREAM_LIMIT_COUNT = 60_000
"""Requests drawn for one run; a run that sends more sends them again."""
STREAM_LIMIT_BYTES = 96 * 1024 * 1024
"""Bytes of encoded requests that the generator may hold."""


@attrs.frozen
class Request:
    """One request to come."""

    key: bytes
    is_read: bool


def payload_of(job: Job) -> bytes:
    """The value that every write carries: letters, so that it compresses no better than text."""
    source = random.Random(job.seed)
    return bytes(source.choices(b"abcdefghijklmnopqrstuvwxyz", k=job.value_bytes))


def requests_for(job: Job) -> list[list[Request]]:
    """One list of requests for each target, in the order in which they are to be sent."""
    drawn = _drawn(job)
    if job.owners is None:
        return [drawn] * len(job.targets)
    lists: list[list[Request]] = [[] for _ in job.targets]
    for position, request in enumerate(drawn):
        owners = job.owners[partition_of(key_hash(request.key), len(job.owners))]
        if job.sequence:
            lists[owners[position % len(owners)]].append(request)
        else:
            for target in owners:
                lists[target].append(request)
    if not all(lists):
        raise ValueError("a server owns none of the keys; use more keys")
    return lists


def _drawn(job: Job) -> list[Request]:
    source = random.Random(job.seed)
    keys = _keys(job, source)
    if job.sequence:
        return [Request(key, False) for key in dict.fromkeys(keys)]
    return [Request(key, source.random() < job.read_share) for key in keys]


def _keys(job: Job, source: random.Random) -> list[bytes]:
    if job.trace:
        return list(read_trace(Path(job.trace), STREAM_LIMIT_COUNT if job.sequence else _count(job)))
    if job.sequence:
        return [key_text(job, rank) for rank in range(job.key_count)]
    if job.zipf_exponent == 0:
        ranks = list(range(min(job.key_count, _count(job))))
        source.shuffle(ranks)
    else:
        ranks = KeySampler(job.key_count, job.zipf_exponent).draw(source, _count(job))
    return [key_text(job, rank) for rank in ranks]


def key_text(job: Job, rank: int) -> bytes:
    """The key of a rank: `key:` and its number, padded to the job's key size."""
    return b"key:" + str(rank).encode().zfill(job.key_bytes - 4)


def _count(job: Job) -> int:
    each = 64 + job.key_bytes + int(job.value_bytes * (1 - job.read_share))
    return max(1000, min(STREAM_LIMIT_COUNT, STREAM_LIMIT_BYTES // each // max(1, len(job.targets))))
