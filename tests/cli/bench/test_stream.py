"""The stream of a job: deterministic, in the shares asked for, and only for owners."""

import random
from collections import Counter
from pathlib import Path

import attrs
import pytest

from dynacache.cli.bench.job import Job
from dynacache.cli.bench.stream import STREAM_LIMIT_BYTES, Request, key_text, payload_of, requests_for
from dynacache.placement.partitions import key_hash, partition_of

TARGETS = (("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3))
JOB = Job("dynacache", TARGETS, key_count=500, read_share=0.8)


def test_without_owners_all_targets_share_one_stream() -> None:
    streams = requests_for(JOB)
    assert len(streams) == 3
    assert streams[0] is streams[1] is streams[2]
    assert {request.key for request in streams[0]} == {key_text(JOB, rank) for rank in range(500)}


def test_two_systems_get_the_same_stream() -> None:
    other = attrs.evolve(JOB, dialect="redis", targets=TARGETS[:1])
    assert requests_for(other)[0] == requests_for(JOB)[0]
    assert payload_of(other) == payload_of(JOB)
    assert requests_for(attrs.evolve(JOB, seed=2))[0] != requests_for(JOB)[0]


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.8, 370, 430), (1.0, 500, 500)])
def test_the_share_of_reads(share: float, low: int, high: int) -> None:
    stream = requests_for(attrs.evolve(JOB, read_share=share))[0]
    assert low <= sum(request.is_read for request in stream) <= high


def test_zipf_prefers_the_first_keys() -> None:
    counted = Counter(request.key for request in requests_for(attrs.evolve(JOB, zipf_exponent=0.99))[0])
    assert counted.most_common(1)[0][0] == key_text(JOB, 0)


def test_each_owner_gets_its_keys_only() -> None:
    source = random.Random(1)
    owners = tuple(tuple(sorted(source.sample(range(3), 2))) for _ in range(64))
    job = attrs.evolve(JOB, owners=owners)
    for target, stream in enumerate(requests_for(job)):
        expected = {
            key_text(job, rank)
            for rank in range(500)
            if target in owners[partition_of(key_hash(key_text(job, rank)), 64)]
        }
        assert {request.key for request in stream} == expected


@pytest.mark.parametrize("owners", [None, tuple((number % 3,) for number in range(64))])
def test_filling_writes_every_key_exactly_once(owners: tuple[tuple[int, ...], ...] | None) -> None:
    streams = requests_for(attrs.evolve(JOB, sequence=True, owners=owners))
    written = streams[0] if owners is None else [request for stream in streams for request in stream]
    assert sorted(request.key for request in written) == sorted(key_text(JOB, rank) for rank in range(500))
    assert not any(request.is_read for request in written)


def test_a_target_that_owns_nothing_is_said() -> None:
    with pytest.raises(ValueError, match="owns none"):
        requests_for(attrs.evolve(JOB, owners=((0,),) * 64))


def test_a_trace_gives_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("b\na\nb\n")
    job = attrs.evolve(JOB, trace=str(path), read_share=1.0)
    assert requests_for(job)[0] == [Request(b"b", True), Request(b"a", True), Request(b"b", True)]
    assert requests_for(attrs.evolve(job, sequence=True))[0] == [Request(b"b", False), Request(b"a", False)]


def test_large_values_bound_the_stream() -> None:
    job = attrs.evolve(JOB, value_bytes=1024 * 1024, key_count=100_000, read_share=0.0)
    assert len(requests_for(job)[0]) * job.value_bytes <= max(STREAM_LIMIT_BYTES, 1000 * job.value_bytes)


@pytest.mark.parametrize("size", [0, 1, 4096])
def test_payloads_are_letters_of_the_size(size: int) -> None:
    payload = payload_of(attrs.evolve(JOB, value_bytes=size))
    assert len(payload) == size
    assert payload == b"" or payload.isalpha()


def test_filling_covers_every_key_that_a_long_trace_will_ask_for(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    path.write_text("".join(f"{number}\n" for number in range(70_000)))
    job = attrs.evolve(JOB, trace=str(path), value_bytes=2000)
    filled = {request.key for request in requests_for(attrs.evolve(job, sequence=True))[0]}
    for share in (0.0, 0.8, 1.0):
        assert {request.key for request in requests_for(attrs.evolve(job, read_share=share))[0]} <= filled
