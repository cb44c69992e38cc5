"""What a run is made of, drawn from its seed: every seed is another cluster, another workload, other weather.

What: ``Options`` is frozen and complete; ``draw`` draws each field from its own stream, and takes any of them fixed.
``node_config`` turns them into the configuration of the nodes.

Invariant: fixing one field changes no other field's draw, so ``--seed 17 --nodes 3`` is seed 17 with three nodes. The
fields are in range together: the replication factor is at most the number of nodes.

Why draws instead of one good configuration: bugs live where limits are small, timeouts tight and mixes lopsided
(swarm testing; brief section 9). Rates are drawn to be zero often, so that some runs show what is clean without them.

A few runs are *absences*: long, on a quiet network, with machines that stay away for most of a minute. Only there do
suspicions run out unexcused, hints grow old and tombstones outlive their grace. In half of the runs time is *scaled*:
hints live for seconds, and the grace of tombstones is little more, so that any long fault is an absence beyond both.
"""

from typing import Any, Final

import attrs

from dynacache.types import Level

from .draws import Draws, Stream

__all__ = ["FIRST_NAMESPACE", "Options", "draw", "factor_of", "write_quorum"]

_ABSENCE_SHARE: Final = 0.04
FIRST_NAMESPACE: Final = "s1"
_ROOMY_STORE_BYTES: Final = 1024 * 1024
"""A store in which the empty tables of another replication factor have room."""
_SMALL_STORE_BYTES: Final = 160_000
"""A store of which the empty tables take a good part (just under a half at 128 partitions, the most that the product
accepts); what is written into it is often drawn to be too much."""
_LEVELS: Final = [
    ((Level.QUORUM, Level.QUORUM), 5.0),
    ((Level.STRICT_QUORUM, Level.STRICT_QUORUM), 3.0),
    ((Level.QUORUM, Level.ONE), 2.0),
    ((Level.ONE, Level.ONE), 1.0),
    ((Level.ONE, Level.QUORUM), 0.5),
    ((Level.QUORUM, Level.STRICT_QUORUM), 0.5),
    ((Level.STRICT_QUORUM, Level.QUORUM), 0.5),
]
"""Levels of writes and reads: what is promised, is promised to those who use levels that fit each other."""
_KIND_SHARES: Final = {"crash": 1.4, "split": 1.2}
"""How much likelier than others a kind of fault is to be among those of a run."""


@attrs.frozen
class Options:
    """One run. Times in virtual seconds, sizes in bytes, shares and rates from 0 to 1."""

    seed: int = 0
    nodes: int = 3
    """Founders."""
    joiners: int = 0
    """Nodes outside the founders that may come in by a fault ``join``."""
    zones: int = 1
    replication_factor: int = 3
    partition_count: int = 64
    write_level: int = Level.QUORUM.value
    read_level: int = Level.QUORUM.value
    level_mix: float = 0.0
    """Share of operations that name another level than the run's."""
    clients: int = 3
    client_timeout_s: float = 4.0
    keys: int = 12
    counters: int = 3
    """Keys beside ``keys`` that are only incremented (and read)."""
    operations_per_s: float = 20.0
    duration_s: float = 30.0
    """Length of the safety phase; the workload and the faults lie in it."""
    value_bytes_minimum: int = 16
    value_bytes_maximum: int = 128
    ttl_share: float = 0.0
    """Share of writes with a time to live."""
    ttl_minimum_s: float = 1.0
    ttl_maximum_s: float = 10.0
    read_share: float = 0.5
    delete_share: float = 0.05
    conditional_share: float = 0.05
    touch_share: float = 0.0
    increment_share: float = 0.1
    first_factor: int = 0
    """Copies of what the first namespace beside the default one holds; 0: as many as of everything."""
    namespaces: int = 0
    """Namespaces beside the default one; the keys are dealt out among them all."""
    tags: int = 0
    """Different tags there are."""
    tag_share: float = 0.0
    """Share of values with tags."""
    fill_share: float = 0.0
    """Share of writes that are slow fills."""
    invalidate_share: float = 0.0
    """Share of writes that invalidate: by tag, pattern, version, or all."""
    scan_share: float = 0.0
    """Share of writes, so to speak, that are scans."""
    configure_share: float = 0.0
    """Share of writes that change settings of a namespace."""
    sliding_share: float = 0.0
    """Share of the values with a time to live whose reads renew it."""
    subscribers: int = 0
    """Hosts that are told of changes to keys."""
    event_queue_limit: int = 8_192
    """Events that wait for one subscriber at one node."""
    event_batch_limit: int = 1_024
    subscription_idle_s: float = 30.0
    subscriber_pause_s: float = 0.0
    """What a subscriber leaves between two questions until the faults end."""
    tag_epochs_limit: int = 50_000
    storage_limit_bytes: int = 64 * 1024 * 1024
    eviction: str = "lru"
    ghost_share: float = 0.03
    """Small stores get more, so that what they evicted is remembered for longer than a moment."""
    hint_target_limit_bytes: int = 64 * 1024 * 1024
    hint_target_limit_count: int = 200_000
    hint_limit_bytes: int = 256 * 1024 * 1024
    hint_lifetime_ms: int = 30 * 60 * 1000
    hint_settle_s: float = 5.0
    tombstone_grace_ms: int = 24 * 60 * 60 * 1000
    """Tombstones are reaped after this, or after the least grace that hints allow if that is longer."""
    replica_timeout_ms: int = 500
    read_timeout_ms: int = 1_000
    write_timeout_ms: int = 2_000
    longest_timeout_ms: int = 60_000
    """Longest timeout that a client may ask for; the least grace of tombstones is above it."""
    operation_id_limit: int = 100_000
    peer_high_water_bytes: int = 32 * 1024 * 1024
    delay_minimum_s: float = 0.0002
    delay_mean_s: float = 0.002
    loss_rate: float = 0.0
    duplicate_rate: float = 0.0
    reorder_rate: float = 0.0
    corrupt_rate: float = 0.0
    clock_offset_ms: int = 0
    """Wall clocks lie within this of the truth, either way."""
    clock_drift_ppm: int = 0
    faults_per_minute: float = 6.0
    fault_kinds: tuple[str, ...] = ()
    """Kinds that may be drawn; empty for none."""
    startup_faults: bool = False
    victims: int = 1
    """Founders whose memory may be lost."""
    exchange_interval_s: float = 10.0
    walk_interval_s: float = 600.0
    confirm_s: float = 1.0
    young_ms: int = 2_000
    transfer_page_bytes: int = 64 * 1024
    transfer_snapshots: int = 16
    """Copies that one source gives away at the same time, where they take more than a page."""
    transfer_patience_s: float = 5.0
    hints_wait_s: float = 60.0
    auto_remove_after_s: float = 0.0
    join_undo_after_s: float = 60.0
    change_interval_s: float = 10.0
    healing: bool = True
    """Whether nodes compare and fill their copies by themselves. Never drawn False: only in scenarios of bugs that this
    would hide; there hints and one read of each key repair what they can before the end is judged, and a memory that
    was lost stays incomplete."""
    drain_limit_s: float = 120.0
    """All must be well within this after the faults ended: changes ended, hints gone, copies complete and equal."""


def factor_of(options: Options, namespace: str) -> int:
    """Return the replication factor that a namespace has of its own, 0 for the cluster's."""
    is_own = namespace == FIRST_NAMESPACE and options.first_factor != options.replication_factor
    return options.first_factor if is_own else 0


def write_quorum(options: Options, namespace: str = "") -> int:
    """Return W, the owners that acknowledge a quorum write into a namespace."""
    return (factor_of(options, namespace) or options.replication_factor) // 2 + 1


def draw(seed: int, **fixed: Any) -> Options:
    """Return the options of a seed, with these fields fixed; raises TypeError for a name that is none."""
    draws = Draws(seed)
    drawn: dict[str, Any] = {"seed": seed}
    for part in (_cluster, _workload, _limits, _weather):
        drawn |= part(draws)
    options = attrs.evolve(Options(**drawn), **fixed)
    if options.replication_factor > options.nodes:
        options = attrs.evolve(options, replication_factor=options.nodes)
    if options.first_factor > options.nodes:
        options = attrs.evolve(options, first_factor=options.nodes)
    if options.first_factor and (not options.namespaces or options.storage_limit_bytes < _ROOMY_STORE_BYTES):
        options = attrs.evolve(options, first_factor=0)
    return options


def _stream(draws: Draws, name: str) -> Stream:
    return draws.stream("options", name)


def _cluster(draws: Draws) -> dict[str, Any]:
    nodes = _stream(draws, "nodes").weighted([(3, 4), (4, 2), (5, 3), (6, 1), (7, 1), (9, 0.5)])
    factor = _stream(draws, "replication_factor").weighted([(3, 8), (2, 1), (5, 1), (1, 0.3)])
    write_level, read_level = _stream(draws, "levels").weighted(_LEVELS)
    return {
        "nodes": nodes,
        "joiners": _stream(draws, "joiners").weighted([(0, 2), (1, 2), (2, 1)]),
        "zones": _stream(draws, "zones").weighted([(1, 3), (3, 1)]),
        "replication_factor": min(factor, nodes),
        "partition_count": _stream(draws, "partition_count").choice([16, 64, 128]),
        "write_level": write_level.value,
        "read_level": read_level.value,
        "level_mix": _stream(draws, "level_mix").choice([0.0, 0.0, 0.1, 0.3]),
        "clients": _stream(draws, "clients").integer(1, 5),
        "client_timeout_s": _stream(draws, "client_timeout_s").choice([1.0, 3.0, 5.0]),
    }


def _workload(draws: Draws) -> dict[str, Any]:
    ttl = _stream(draws, "ttl_share").choice([0.0, 0.0, 0.2, 0.6])
    absence = _is_absence(draws)
    # What a full store promises is another matter where it refuses, or where expiry leaves tombstones: those get less.
    much = _storage_limit_bytes(draws) == _SMALL_STORE_BYTES and _eviction(draws) != "noeviction" and not ttl
    keys = [(12, 1), (40, 2), (200, 3)] if much else [(1, 1), (4, 1), (12, 1), (40, 1)]
    return {
        "keys": _stream(draws, "keys").weighted(keys),
        "counters": _stream(draws, "counters").choice([0, 1, 4]),
        "operations_per_s": _stream(draws, "operations_per_s").choice([5.0, 20.0] if absence else [5.0, 20.0, 40.0]),
        "duration_s": 100.0 if absence else _stream(draws, "duration_s").choice([10.0, 20.0, 40.0]),
        "value_bytes_maximum": _stream(draws, "value_bytes_maximum").choice(
            [128, 4096, 4096] if much else [32, 128, 4096]
        ),
        "ttl_share": ttl,
        **_invalidating(draws),
        **_settings(draws),
        **_subscribers(draws),
        "sliding_share": _stream(draws, "sliding_share").choice([0.0, 0.4, 0.8]) if ttl else 0.0,
        "ttl_maximum_s": _stream(draws, "ttl_maximum_s").choice([3.0, 10.0, 30.0]),
        "read_share": _stream(draws, "read_share").choice([0.2, 0.5, 0.8]),
        "delete_share": _stream(draws, "delete_share").choice([0.0, 0.05, 0.2]),
        "conditional_share": _stream(draws, "conditional_share").choice([0.0, 0.05, 0.2]),
        "touch_share": _stream(draws, "touch_share").choice([0.0, 0.05]) if ttl else 0.0,
        "increment_share": _stream(draws, "increment_share").choice([0.0, 0.1, 0.3]),
    }


def _invalidating(draws: Draws) -> dict[str, Any]:
    """Half of the runs invalidate: by tags that few or many values have, while slow fills are under way."""
    if not _invalidates(draws):
        return {}
    return {
        "tag_epochs_limit": _stream(draws, "tag_epochs_limit").weighted([(50_000, 3), (2, 1)]),
        "tags": _stream(draws, "tags").choice([1, 3, 8]),
        "tag_share": _stream(draws, "tag_share").choice([0.2, 0.8]),
        "fill_share": _stream(draws, "fill_share").choice([0.0, 0.1, 0.3]),
        "invalidate_share": _stream(draws, "invalidate_share").choice([0.02, 0.08]),
        "scan_share": _stream(draws, "scan_share").choice([0.0, 0.03]),
    }


def _invalidates(draws: Draws) -> bool:
    return _stream(draws, "invalidating").chance(0.5)


def _settings(draws: Draws) -> dict[str, Any]:
    """In two runs of five settings change; namespaces of their own are in those and in some that invalidate."""
    share = _stream(draws, "configure_share").weighted([(0.0, 3), (0.02, 1), (0.06, 1)])
    namespaces = _stream(draws, "namespaces").choice([0, 0, 1, 2]) if _invalidates(draws) else 0
    if share:
        namespaces = max(namespaces, _stream(draws, "configured namespaces").choice([0, 1, 2]))
    factor = _stream(draws, "first_factor").weighted([(0, 3), (1, 1), (2, 1), (4, 0.5), (5, 1)])
    return {"configure_share": share, "namespaces": namespaces, "first_factor": factor if namespaces else 0}


def _subscribers(draws: Draws) -> dict[str, Any]:
    """In some runs somebody follows what happens to keys, here and there more slowly than it happens."""
    count = _stream(draws, "subscribers").weighted([(0, 5), (1, 2), (2, 1)])
    if not count:
        return {}
    return {
        "subscribers": count,
        "event_queue_limit": _stream(draws, "event_queue_limit").choice([8_192, 4, 20]),
        "event_batch_limit": _stream(draws, "event_batch_limit").choice([1_024, 2]),
        "subscription_idle_s": _stream(draws, "subscription_idle_s").choice([30.0, 3.0]),
        "subscriber_pause_s": _stream(draws, "subscriber_pause_s").choice([0.0, 0.0, 1.0, 5.0]),
    }


def _limits(draws: Draws) -> dict[str, Any]:
    mebibyte = 1024 * 1024
    return {
        "storage_limit_bytes": _storage_limit_bytes(draws),
        "eviction": _eviction(draws),
        "ghost_share": _ghost_share(draws),
        "hint_target_limit_count": _stream(draws, "hint_count").weighted([(200_000, 3), (20, 1), (3, 0.5)]),
        "hint_target_limit_bytes": _stream(draws, "hint_bytes").weighted([(64 * mebibyte, 3), (4096, 1)]),
        "hint_lifetime_ms": _stream(draws, "hint_life").weighted([(1_800_000, 2), (20_000, 1)]),
        "hint_settle_s": _stream(draws, "hint_settle").choice([1.0, 5.0, 15.0]),
        "tombstone_grace_ms": _stream(draws, "grace").weighted([(24 * 60 * 60 * 1000, 2), (1, 1)]),
        **_intervals(draws),
        "peer_high_water_bytes": _stream(draws, "high_water").weighted([(32 * mebibyte, 3), (4096, 1)]),
        "replica_timeout_ms": _stream(draws, "replica_timeout").choice([100, 500]),
        "operation_id_limit": _stream(draws, "operation_ids").weighted([(100_000, 3), (10, 1)]),
    }


def _weather(draws: Draws) -> dict[str, Any]:
    kinds = ("cut", "split", "isolate", "loss", "duplicate", "reorder", "corrupt", "delay", "reset", "pause", "slow",
             "crash", "stop", "join", "clock_offset", "clock_drift", "memory", "leave", "remove", "wipe", "standstill",
             "blackout", "clock_wrong", "repair_now")  # fmt: skip
    share = _stream(draws, "kind share").choice([0.2, 0.5, 0.5])
    chosen = tuple(kind for kind in kinds if _stream(draws, f"kind {kind}").chance(share * _KIND_SHARES.get(kind, 1.0)))
    calm: dict[str, Any] = {}
    if _is_absence(draws):
        calm = {"loss_rate": 0.0, "duplicate_rate": 0.0, "reorder_rate": 0.0, "faults_per_minute": 2.0}
        chosen = ("crash", "stop", "join", "memory")
    return {
        "victims": _stream(draws, "victims").weighted([(1, 3), (2, 2), (3, 0.5)]),
        "delay_mean_s": _stream(draws, "delay_mean_s").choice([0.0005, 0.002, 0.02]),
        "loss_rate": _stream(draws, "loss_rate").choice([0.0, 0.0, 0.01, 0.05]),
        "duplicate_rate": _stream(draws, "duplicate_rate").choice([0.0, 0.0, 0.05]),
        "reorder_rate": _stream(draws, "reorder_rate").choice([0.0, 0.0, 0.05]),
        "clock_offset_ms": _stream(draws, "clock_offset_ms").choice([0, 20, 200]),
        "clock_drift_ppm": _stream(draws, "clock_drift_ppm").choice([0, 200]),
        "faults_per_minute": _stream(draws, "faults_per_minute").weighted([(0.0, 1), (6.0, 2), (20.0, 2)]),
        "fault_kinds": chosen,
        "startup_faults": _stream(draws, "startup_faults").chance(0.3),
    } | calm


def _intervals(draws: Draws) -> dict[str, Any]:
    """Return intervals short enough for a run; and in half of them lives so short that any long fault outlasts them."""
    intervals: dict[str, Any] = {
        "exchange_interval_s": _stream(draws, "exchange_interval_s").choice([0.5, 1.0, 1.5]),
        "walk_interval_s": _stream(draws, "walk_interval_s").choice([5.0, 20.0, 600.0]),
        "confirm_s": _stream(draws, "confirm_s").choice([0.2, 0.5]),
        "young_ms": _stream(draws, "young_ms").choice([500, 2_000]),
        "transfer_page_bytes": _stream(draws, "transfer_page_bytes").weighted([(65_536, 1), (4_096, 1)]),
        "transfer_snapshots": _stream(draws, "transfer_snapshots").weighted([(16, 1), (1, 1)]),
        "transfer_patience_s": _stream(draws, "transfer_patience_s").choice([1.0, 5.0]),
        "hints_wait_s": _stream(draws, "hints_wait_s").choice([5.0, 20.0]),
        "auto_remove_after_s": _stream(draws, "auto_remove_after_s").weighted([(0.0, 3), (5.0, 0.5), (20.0, 0.5)]),
        "join_undo_after_s": _stream(draws, "join_undo_after_s").choice([5.0, 20.0]),
        "change_interval_s": _stream(draws, "change_interval_s").choice([0.5, 3.0]),
    }
    if _stream(draws, "scaled").chance(0.5) and not _is_absence(draws):
        intervals |= {
            "longest_timeout_ms": 5_000,
            "hint_lifetime_ms": _stream(draws, "scaled hint_life").choice([3_000, 8_000]),
            "hint_settle_s": 1.0,
            "transfer_patience_s": 1.0,
            "hints_wait_s": 2.0,
            "tombstone_grace_ms": _stream(draws, "scaled grace").choice([1, 20_000]),
        }
    return intervals


def _storage_limit_bytes(draws: Draws) -> int:
    return _stream(draws, "storage").weighted([(64 * 1024 * 1024, 4), (_SMALL_STORE_BYTES, 1)])


def _ghost_share(draws: Draws) -> float:
    small = _storage_limit_bytes(draws) == _SMALL_STORE_BYTES
    return _stream(draws, "ghost_share").weighted([(0.03, 1), (0.25, 1), (0.3, 1)]) if small else 0.03


def _eviction(draws: Draws) -> str:
    """Return a policy; whether it evicts at all is drawn as it always was, and which one apart from that."""
    if _stream(draws, "eviction").weighted([(True, 4), (False, 1)]):
        return _stream(draws, "policy").weighted([("s3fifo", 3), ("lru", 2), ("lfu", 1), ("ttl", 1), ("random", 1)])
    return "noeviction"


def _is_absence(draws: Draws) -> bool:
    return _stream(draws, "absence").chance(_ABSENCE_SHARE)
