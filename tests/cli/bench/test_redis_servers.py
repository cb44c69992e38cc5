"""Redis for comparison: really started, really replicated, really driven by the generator."""

import attrs
import pytest

from dynacache.cli.bench.generator import run_job
from dynacache.cli.bench.job import Job
from dynacache.cli.bench.redis_servers import RedisLink, redis_version, start_redis
from dynacache.cli.processes import ProcessGroup, StartFailed


def test_the_version_is_in_the_report() -> None:
    assert redis_version("# Server\r\nredis_version:7.0.15\r\nx:1") == "7.0.15"
    assert redis_version("") == ""


def test_without_redis_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/does/not/exist")
    with ProcessGroup() as group, pytest.raises(StartFailed, match="not installed"):
        start_redis(group)


def test_a_master_and_two_replicas(redis_server_path: str) -> None:
    with ProcessGroup() as group:
        servers = start_redis(group)
        assert servers.version
        base = Job("redis", (("127.0.0.1", servers.ports[0]),), connections=4, depth=4, key_count=200, warmup_s=0.0)
        filled = run_job(attrs.evolve(base, sequence=True))
        assert (filled.requests, filled.failures) == (200, 0)
        for wait in ("each", "batch", "none"):
            outcome = run_job(attrs.evolve(base, wait=wait, read_share=0.5, requests=2000, key_count=200))
            assert (outcome.failures, outcome.misses) == (0, 0)
            assert outcome.requests >= 2000
        missing = run_job(attrs.evolve(base, read_share=1.0, requests=400, key_count=400))
        assert 150 <= missing.misses <= missing.requests - 150
        on_schedule = run_job(
            attrs.evolve(base, rate=500.0, seconds=0.3, read_share=0.5, watch=(servers.children[0].pid,))
        )
        assert (on_schedule.failures, on_schedule.unanswered) == (0, 0)
        assert on_schedule.requests >= 140
        links = [RedisLink(port) for port in servers.ports]
        said = [(link.ask("DBSIZE"), link.ask("GET", "none")) for link in links]
        for link in links:
            link.close()
        assert said == [(":200", "$-1")] * 3
    assert not [child for child in servers.children if child.running]
