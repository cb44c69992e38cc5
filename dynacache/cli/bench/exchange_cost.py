"""What repair costs two replicas: with no difference, with one, with a thousand; full and evicting; at a mass expiry.

What: ``python -m dynacache.cli.bench.exchange_cost`` measures in a process of its own and prints figures as JSON;
`measure` runs it as a child. `exchange_case` lets one replica miss so many writes and counts until both are equal.
`eviction_case` fills both far beyond their memory, so that each evicts something else, and watches the traffic end.
`expiry_case` lets many entries end in the same second while the two compare all the time.

Invariant: bytes are those of frames, both directions; records, which have to travel, are counted apart. Processor time
is that of both replicas, with the keeping of their stores.

Why two sizes: that bytes grow with the differences and not with the data is seen when the data are ten times as many.
"""

import json
import subprocess
import sys
from typing import Any

import attrs

from dynacache.cli.bench.replica_pair import ReplicaPair
from dynacache.cli.processes import StartFailed
from dynacache.config import RepairConfig

__all__ = ["ExchangeCase", "RestCase", "eviction_case", "exchange_case", "expiry_case", "filled", "main", "measure"]

_VALUE_BYTES = 64
_BUDGET_BYTES = 600
"""Memory limit granted for each entry, so that nothing is evicted."""
_WATCHED_S = 300.0
_EQUAL_TIMEOUT_S = 3600.0
_FILLED_TIMEOUT_S = 60.0
_DIFFERENCES = (0, 1, 1000)
_EVICTION_LIMIT_BYTES = 32 * 1024 * 1024
_EVICTION_ENTRIES = 150_000
_EXPIRING = 100_000
_EXPIRY_TTL_MS = 30_000
_REPAIR = RepairConfig(repair_bytes_per_s=1 << 30)
_EAGER = RepairConfig(exchange_interval_s=1.0, confirm_s=0.5)


@attrs.frozen
class ExchangeCase:
    """One stretch of exchanges."""

    entries: int
    differences: int
    exchanges: int
    pairs: int
    """Questions with their answers."""
    message_bytes: int
    record_bytes: int
    cpu_ms: float
    virtual_s: float


@attrs.frozen
class RestCase:
    """What repair did in a stretch of virtual time."""

    name: str
    entries: int
    minutes: int
    records_by_minute: tuple[int, ...]
    """Records and ghosts that travelled because of a difference."""
    bytes_by_minute: tuple[int, ...]
    differing_leaves_by_minute: tuple[int, ...]


def measure(entries: int, what: str) -> list[dict[str, Any]]:
    """Measure ``exchange`` or ``rest`` in a child process; raises StartFailed."""
    command = [sys.executable, "-m", "dynacache.cli.bench.exchange_cost", what, str(entries)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StartFailed(f"the measurement ended with exit code {ended.returncode}: {ended.stderr.strip()[-500:]}")
    found: list[dict[str, Any]] = json.loads(ended.stdout)
    return found


def filled(entries: int, limit_bytes: int = 0, repair: RepairConfig = _REPAIR) -> ReplicaPair:
    """Two replicas of the same entries that have found each other equal, as far as memory allows."""
    pair = ReplicaPair(limit_bytes or (64 << 20) + entries * _BUDGET_BYTES, repair)
    for number in range(entries):
        pair.write_both(b"key:%010d" % number, b"%0*d" % (_VALUE_BYTES, number))
    pair.settle()
    began_s = pair.now_s
    while not pair.total("exchanges_equal") and pair.now_s - began_s < _FILLED_TIMEOUT_S:
        pair.run(5)
    pair.run(30)
    return pair


def exchange_case(pair: ReplicaPair, entries: int, differences: int) -> ExchangeCase:
    """Let the second replica miss so many writes, and count until they are equal; with none, for five minutes."""
    first = pair.replicas[0]
    for number in range(differences):
        first.write(b"key:%010d" % (number * 7919 % entries), b"%0*d" % (_VALUE_BYTES, int(pair.now_s)))
    pair.forget()
    exchanges, began_s = pair.total("exchanges"), pair.now_s
    if differences:
        while not pair.equal():
            pair.run(1.0)
            if pair.now_s - began_s > _EQUAL_TIMEOUT_S:
                raise RuntimeError(f"{differences} differences are not repaired after {_EQUAL_TIMEOUT_S:g} s")
    else:
        pair.run(_WATCHED_S)
    return ExchangeCase(
        entries=entries,
        differences=differences,
        exchanges=pair.total("exchanges") - exchanges,
        pairs=sum(pair.messages.values()) // 2,
        message_bytes=pair.message_bytes - pair.record_bytes,
        record_bytes=pair.record_bytes,
        cpu_ms=round(pair.cpu_s * 1000, 3),
        virtual_s=round(pair.now_s - began_s, 1),
    )


def eviction_case(entries: int, limit_bytes: int, minutes: int) -> RestCase:
    """Fill both beyond their memory in different order of use, then leave them alone."""
    pair = filled(entries, limit_bytes, RepairConfig())
    first, second = pair.replicas
    for number in range(0, entries, 3):
        key = b"key:%010d" % number
        owner = first if number % 2 else second
        partition, record = owner.write(key, b"%0*d" % (_VALUE_BYTES, 1))
        if number % 9:
            other = second if owner is first else first
            other.take(partition, key, record)
    return _watched(pair, "full memory, each evicts something else", entries, minutes)


def expiry_case(entries: int) -> RestCase:
    """Let entries end in one second, compared every second meanwhile, with clocks that differ."""
    pair = ReplicaPair((64 << 20) + entries * _BUDGET_BYTES, _EAGER)
    for number in range(entries):
        pair.write_both(b"key:%010d" % number, b"%0*d" % (_VALUE_BYTES, number), _EXPIRY_TTL_MS)
    found = _watched(pair, "entries that expire in one second", entries, 1)
    if any(replica.engine.statistics().entries for replica in pair.replicas):
        raise RuntimeError("entries outlived their expiry")
    return found


def _watched(pair: ReplicaPair, name: str, entries: int, minutes: int) -> RestCase:
    records, sizes, leaves = [], [], []
    for _ in range(minutes):
        pair.forget()
        before = _moved(pair), pair.total("leaves_differing")
        pair.run(60.0)
        records.append(_moved(pair) - before[0])
        leaves.append(pair.total("leaves_differing") - before[1])
        sizes.append(pair.message_bytes)
    return RestCase(name, entries, minutes, tuple(records), tuple(sizes), tuple(leaves))


def _moved(pair: ReplicaPair) -> int:
    return pair.total("records_sent") + pair.total("witnessed")


def main(arguments: list[str]) -> int:
    """Measure as the arguments say and print the figures."""
    what, entries = arguments[0], int(arguments[1])
    found: list[Any] = []
    if what == "exchange":
        for count in (max(1000, entries // 10), entries):
            pair = filled(count)
            found += [exchange_case(pair, count, differences) for differences in _DIFFERENCES]
    elif what == "rest":
        found.append(eviction_case(_EVICTION_ENTRIES, _EVICTION_LIMIT_BYTES, 30))
        found.append(expiry_case(_EXPIRING))
    else:
        raise ValueError(f"got {what!r}, expected exchange or rest")
    print(json.dumps([attrs.asdict(case) for case in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
