"""A million entries that expire within ten seconds, on a node that goes on serving.

What: `expire` starts one node, fills it with entries whose expiries lie evenly in ten seconds, and loads it with reads
and writes of other keys on schedule: once in quiet, once while the entries expire. Meanwhile it asks the node how many
entries it holds. Before that, `expiry_turns` measures the same in the core of a node, by processor time.

Invariant: how late memory is freed is judged against the expiries that were asked for: `late_s` is the longest time
that an entry was still there after its own instant, over all looks. The p99 of both windows comes from the same
requests in the same order.

Why on schedule (open loop): a closed loop would ask less while the node is busy, and so hide what it is to show.
"""

import time
from collections.abc import Callable, Sequence

import attrs

from dynacache.cli.bench import expiry_turns
from dynacache.cli.bench.expiry_turns import TurnFigures
from dynacache.cli.bench.repeated import Repeated
from dynacache.cli.bench.soak import run_phase
from dynacache.cli.bench.soak_load import Found, Phase
from dynacache.cli.local_cluster import LocalCluster
from dynacache.cli.processes import ProcessGroup, StartFailed

__all__ = ["WITHIN_S", "ExpiryFigures", "expire", "lateness_of"]

WITHIN_S = 10.0
"""The expiries lie evenly in so many seconds."""

_RATE = 2_000.0
_LOAD_KEYS = 10_000
_LOAD_FIRST = 1_000_000_000
_LOAD_BYTES = 100
_VALUE_BYTES = 64
_ENTRY_BYTES = 400
_FILL_SHARE = 0.5
"""Of the rate at which the other keys were written; the expiries begin when a fill at that pace would be over."""

_REST_S = 2.0
_MEMORY_LEAST = 256 * 2**20


@attrs.frozen
class ExpiryFigures:
    """What was found."""

    entries: int
    quiet: Found
    """The load without anything expiring."""
    meanwhile: Found
    late_s: float
    """How long after its expiry the last entry was seen to be there still."""
    left: int
    """Entries that were never freed."""
    looks: int
    turns: TurnFigures
    """The same in the core of a node, by processor time."""

    @property
    def p99_factor(self) -> float:
        """The p99 while entries expire as a multiple of the quiet one."""
        return self.meanwhile.p99_ms / self.quiet.p99_ms if self.quiet.p99_ms else 0.0


def lateness_of(looks: Sequence[tuple[float, int]], ends_at: float, within_s: float, count: int) -> float:
    """Return the longest time for which an entry was there after its expiry.

    ``looks`` are (second, entries still there); entry n of ``count`` expires at ``ends_at + within_s * n / count``, and
    the first to expire are taken to be the first to go.
    """
    latest = 0.0
    for at_s, there in looks:
        if there > 0:
            oldest_ends = ends_at + within_s * (count - there) / count
            latest = max(latest, at_s - oldest_ends)
    return latest


@attrs.define(eq=False)
class _Looks(Repeated):
    """Asks the node for its entries."""

    cluster: LocalCluster
    extra: int
    """Entries that do not expire."""
    found: list[tuple[float, int]] = attrs.field(factory=list)

    def look(self) -> None:
        """Ask once."""
        before_s = time.time()
        entries = self.cluster.report(0, "node").get("entries")
        if entries is not None:
            self.found.append((before_s, entries - self.extra))


def expire(entries: int, settings: tuple[str, ...], tell: Callable[[str], None]) -> ExpiryFigures:
    """Fill one node, and watch the entries go; raises StartFailed."""
    tell(f"the core of a node: {entries:,} entries, turns by processor time")
    turns = expiry_turns.measure(entries, WITHIN_S)
    memory = str(_MEMORY_LEAST + entries * _ENTRY_BYTES)
    with ProcessGroup() as group:
        cluster = LocalCluster(group, 1, memory, settings)
        try:
            cluster.start()
            cluster.wait_until_agreed()
            return _expire(cluster, entries, turns, tell)
        finally:
            cluster.close()


def _expire(cluster: LocalCluster, entries: int, turns: TurnFigures, tell: Callable[[str], None]) -> ExpiryFigures:
    base = Phase("127.0.0.1", cluster.ports[0], cluster.children[0].pid, value_bytes=_VALUE_BYTES)
    load = attrs.evolve(
        base, first_key=_LOAD_FIRST, key_count=_LOAD_KEYS, value_bytes=_LOAD_BYTES, set_share=0.2, delete_share=0.0
    )
    others = run_phase(attrs.evolve(load, fill=True, depth=32))
    load = attrs.evolve(load, rate=_RATE, seconds=WITHIN_S)
    fill_s = entries / (others.rate * _FILL_SHARE)
    ends_at = time.time() + fill_s + _REST_S + WITHIN_S + 2 * _REST_S
    tell(f"a node of its own: {entries:,} entries, which expire within {WITHIN_S:.0f} s")
    filled = run_phase(
        attrs.evolve(base, key_count=entries, fill=True, depth=32, ends_at=ends_at, ends_within_s=WITHIN_S)
    )
    if filled.failures:
        raise StartFailed(f"{filled.failures} writes failed while the node was filled")
    tell(f"filled at {filled.rate:,.0f} a second; {_RATE:,.0f} requests a second of other keys in quiet")
    quiet = run_phase(load)
    tell("the same while the entries expire")
    _sleep_until(ends_at - _REST_S / 2)
    with _Looks(cluster, _LOAD_KEYS) as looks:
        meanwhile = run_phase(attrs.evolve(load, seconds=WITHIN_S + _REST_S))
        time.sleep(_REST_S)
    cluster.check_running()
    late_s = lateness_of(looks.found, ends_at, WITHIN_S, entries)
    left = looks.found[-1][1] if looks.found else entries
    return ExpiryFigures(entries, quiet, meanwhile, late_s, left, len(looks.found), turns)


def _sleep_until(at_s: float) -> None:
    if at_s < time.time():
        raise StartFailed("the fill took longer than was foreseen; use fewer --entries")
    time.sleep(at_s - time.time())
