"""The command `dynacache bench`: what is started, which cases are run, what is printed.

What: `run` carries out the options. It starts a cluster, or takes a running one, fills it, starts Redis where asked,
runs the cases in alternating rounds and reports.

Invariant: both systems get the same connections, depth, keys and values from the same generator; every key is written
before anything is measured, so a read that misses is a finding; a failure, a miss or a request without an answer shows
in the report and makes the exit code 1.
"""

import contextlib
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from dynacache.cli.bench import exchange_cost, hit_ratio, invalidation, memory, redis_memory
from dynacache.cli.bench.exchange_report import exchange_answer, rest_answer
from dynacache.cli.bench.expiry import expire
from dynacache.cli.bench.hit_ratio_report import hit_ratio_answer
from dynacache.cli.bench.idle import idle_figures
from dynacache.cli.bench.invalidation_report import invalidation_answer
from dynacache.cli.bench.job import Job
from dynacache.cli.bench.launch import run_generator
from dynacache.cli.bench.redis_servers import start_redis
from dynacache.cli.bench.report import memory_answer, report_answer
from dynacache.cli.bench.rounds import Case, run_rounds
from dynacache.cli.bench.soak import soak
from dynacache.cli.bench.soak_report import expiry_answer, soak_answer
from dynacache.cli.bench.topology import topology_of
from dynacache.cli.bench.trials import run_trials
from dynacache.cli.bench_options import BenchOptions
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.output import Answer, Output, show
from dynacache.cli.processes import ProcessGroup, StartFailed, terminate_as_exit
from dynacache.cli.session import read_secret
from dynacache.cli.sizes import parse_size
from dynacache.types import Level

__all__ = ["OURS", "REDIS", "REDIS_BATCH", "cases_of", "run"]

OURS = "dynacache"
REDIS = "redis"
REDIS_BATCH = "redis, one WAIT for all"
_MEMORY_KEY_BYTES = 39
_MEMORY_TTL_S = 3600.0
_MEMORY_POLICIES = ("lru", "lfu", "s3fifo")
_NODE_MEMORY = "1GiB"
_IDLE_KEYS = 30_000
_IDLE_S = 30.0
_SOAK_S = 600.0


def run(options: BenchOptions, output: Output) -> int:
    """Run the bench; return the exit code."""
    with terminate_as_exit():
        try:
            if options.hit_ratio:
                return show(hit_ratio_answer(hit_ratio.measure(options.hit_ratio, _tell)), output)
            if options.memory:
                return show(_measured_entries(options), output)
            if options.soak_memory or options.expiry:
                return max([show(answer, output) for answer in _measured_memory(options)])
            if options.invalidate:
                return show(invalidation_answer([invalidation.measure(each) for each in (0, options.entries)]), output)
            if options.exchange or options.rest or options.moves_data:
                return max([show(answer, output) for answer in _measured_repair(options)])
            return _run_load(options, output)
        except (StartFailed, ValueError) as error:
            print(f"dynacache bench: {error}", file=sys.stderr)
            return 1


def _measured_entries(options: BenchOptions) -> Answer:
    """What an entry costs under each policy that keeps data of its own, and in Redis if that is installed."""
    value_bytes, lives = _value_bytes(options), (0.0, _MEMORY_TTL_S)
    figures = []
    for eviction in _MEMORY_POLICIES:
        _tell(f"filling an engine with {options.entries:,} entries under {eviction}, without and with expiry")
        figures += [memory.measure(options.entries, _MEMORY_KEY_BYTES, value_bytes, ttl_s, eviction) for ttl_s in lives]
    if not redis_memory.is_there():
        _tell("redis-server is not installed (Debian: apt-get install redis-server): left out")
        return memory_answer(figures)
    _tell(f"filling Redis with {options.entries:,} entries, without and with expiry")
    redis = [redis_memory.measure(options.entries, _MEMORY_KEY_BYTES, value_bytes, ttl_s) for ttl_s in lives]
    return memory_answer(figures, redis)


def _measured_memory(options: BenchOptions) -> list[Answer]:
    """What the options ask for of one node's memory."""
    answers = []
    if options.expiry:
        answers.append(expiry_answer(expire(options.entries, (), _tell)))
    if options.soak_memory:
        limit_bytes = parse_size(options.limit, "--limit")
        answers.append(soak_answer(soak(limit_bytes, options.seconds or _SOAK_S, (), _tell)))
    return answers


def _measured_repair(options: BenchOptions) -> list[Answer]:
    """What the options ask for of what keeps replicas whole; the machine is used by one at a time."""
    answers = []
    if options.exchange:
        _tell(f"two replicas of {options.entries:,} entries; this takes a minute for each million")
        answers.append(exchange_answer(exchange_cost.measure(options.entries, "exchange")))
    if options.rest:
        _tell("two full replicas, and two whose entries expire")
        cases = exchange_cost.measure(options.entries, "rest")
        figures = idle_figures(options.nodes, options.keys or _IDLE_KEYS, _IDLE_S, _NODE_MEMORY, _tell)
        answers.append(rest_answer(cases, figures))
    return answers + run_trials(options, _tell)


def _value_bytes(options: BenchOptions) -> int:
    if options.value_bytes is not None:
        return options.value_bytes
    return 64 if options.memory else 1024 if options.rate else 512


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run_load(options: BenchOptions, output: Output) -> int:
    with ProcessGroup() as group, contextlib.ExitStack() as stack:
        jobs = {OURS: _our_job(options, group, stack)}
        version = ""
        if options.against is not None:
            servers = start_redis(group)
            version = servers.version
            jobs[REDIS] = attrs.evolve(
                jobs[OURS],
                dialect="redis",
                targets=(("127.0.0.1", servers.ports[0]),),
                owners=None,
                secret="",
                watch=tuple(child.pid for child in servers.children),
            )
        for name, job in jobs.items():
            _tell(f"filling {name} with {options.keys_wanted:,} keys")
            filled = run_generator(attrs.evolve(job, sequence=True, depth=16, warmup_s=0.0, rate=0.0))
            if filled.failures:
                raise StartFailed(f"{filled.failures} writes failed while filling {name}")
        cases = cases_of(options, jobs)
        found = run_rounds(cases, options.rounds_wanted, run_generator, _tell)
    return show(report_answer(_settings(options, version), found, bool(options.rate)), output)


def _our_job(options: BenchOptions, group: ProcessGroup, stack: contextlib.ExitStack) -> Job:
    """The job for our side, without depth and shares; starts the cluster where none was named."""
    secret = read_secret(options.secret_file)
    watch: tuple[int, ...] = ()
    if options.server:
        address = options.server[0]
    else:
        cluster = LocalCluster(group, options.nodes, _NODE_MEMORY)
        stack.callback(cluster.close)
        _tell(f"starting {options.nodes} nodes on {', '.join(cluster.addresses)}")
        cluster.start()
        _tell(f"all agree after {cluster.wait_until_agreed():.1f} s")
        address = cluster.addresses[0]
        watch = tuple(child.pid for child in cluster.children)
    topology = topology_of(address, secret)
    return Job(
        dialect="dynacache",
        targets=topology.targets,
        owners=topology.owners,
        connections=options.connections,
        value_bytes=_value_bytes(options),
        read_level=Level[options.read_level.upper()],
        write_level=Level[options.write_level.upper()],
        key_count=options.keys_wanted,
        zipf_exponent=options.zipf,
        trace=str(options.trace.resolve()) if options.trace else "",
        seed=options.seed,
        seconds=options.seconds_wanted,
        requests=options.requests,
        watch=watch,
        secret=secret,
    )


def cases_of(options: BenchOptions, jobs: Mapping[str, Job]) -> list[Case]:
    """The shapes of load that the options ask for."""
    if options.rate:
        share = 0.8 if options.read_share is None else options.read_share
        return [
            Case(f"{rate:,.0f} requests/s, {share:.0%} reads", _changed(jobs, rate=rate, read_share=share))
            for rate in options.rate
        ]
    cases = []
    for depth in options.depth or (1, 16):
        if options.read_share is not None:
            name = f"{options.read_share:.0%} reads, depth {depth}"
            cases.append(Case(name, _changed(jobs, depth=depth, read_share=options.read_share)))
            continue
        writes = _changed(jobs, depth=depth, read_share=0.0)
        if REDIS in writes and depth > 1:
            writes[REDIS_BATCH] = attrs.evolve(writes[REDIS], wait="batch")
        cases.append(Case(f"SET, depth {depth}", writes))
        cases.append(Case(f"GET, depth {depth}", _changed(jobs, depth=depth, read_share=1.0)))
    return cases


def _changed(jobs: Mapping[str, Job], **changes: Any) -> dict[str, Job]:
    return {name: attrs.evolve(job, **changes) for name, job in jobs.items()}


def _settings(options: BenchOptions, redis_version: str) -> dict[str, Any]:
    """What the report says about how it came about."""
    settings = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "nodes": options.nodes if not options.server else None,
        "connections": options.connections,
        "value_bytes": _value_bytes(options),
        "keys": options.keys_wanted,
        "zipf": options.zipf,
        "read_level": options.read_level,
        "write_level": options.write_level,
        "rounds": options.rounds_wanted,
        "seconds": options.seconds_wanted,
    }
    return settings | ({"redis": redis_version} if redis_version else {})
