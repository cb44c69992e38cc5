"""The configuration that the nodes of a run have.

What: ``config`` turns the options of a run into the product's own ``Config``; ``prepare`` sets what is no
option of the product.

Invariant: whatever is drawn is a configuration that the product accepts.

Why short queues: no run is long enough to fill one of thousands of events.
"""

from dynacache.config import (
    ClusterConfig,
    Config,
    CoordinationConfig,
    HintConfig,
    MembershipConfig,
    ObservabilityConfig,
    RepairConfig,
    StorageSettings,
    TransferConfig,
)
from dynacache.node import Node

from .options import Options

__all__ = ["config", "prepare"]

_HEALING = ("exchange", "transfer")


def config(options: Options) -> Config:
    """Return the configuration that every node of the run has."""
    grace_ms = options.hint_lifetime_ms + options.longest_timeout_ms + 1_000
    hints = HintConfig(
        target_limit_bytes=options.hint_target_limit_bytes,
        target_limit_count=options.hint_target_limit_count,
        limit_bytes=options.hint_limit_bytes,
        lifetime_ms=options.hint_lifetime_ms,
        settle_s=options.hint_settle_s,
    )
    storage = StorageSettings(
        limit_bytes=options.storage_limit_bytes,
        eviction=options.eviction,
        ghost_share=options.ghost_share,
        gc_grace_min_ms=grace_ms,
        gc_grace_max_ms=max(grace_ms, options.tombstone_grace_ms),
    )
    coordination = CoordinationConfig(
        replica_timeout_ms=options.replica_timeout_ms,
        read_timeout_ms=options.read_timeout_ms,
        write_timeout_ms=options.write_timeout_ms,
        longest_timeout_ms=options.longest_timeout_ms,
        operation_id_limit=options.operation_id_limit,
        tag_epochs_limit=options.tag_epochs_limit,
    )
    return Config(
        cluster=_cluster_config(options),
        storage=storage,
        hints=hints,
        coordination=coordination,
        membership=MembershipConfig.simulated(),
        repair=_repair_config(options),
        transfer=_transfer_config(options),
        observability=ObservabilityConfig(key_events=options.subscribers > 0),
    )


def prepare(options: Options, node: Node) -> None:
    """Give a node that has just been made the limits of this run for subscribers; without healing, take the cores out
    of it that compare and fill copies (it still answers those of others)."""
    events = node.observed.key_events
    events.queue_limit_count = options.event_queue_limit
    events.batch_limit_count = options.event_batch_limit
    events.idle_limit_s = options.subscription_idle_s
    for name in () if options.healing else _HEALING:
        del node.upkeep.cores[name]


def _cluster_config(options: Options) -> ClusterConfig:
    return ClusterConfig(
        auto_remove_after_s=options.auto_remove_after_s,
        join_undo_after_s=options.join_undo_after_s,
        change_interval_s=options.change_interval_s,
    )


def _repair_config(options: Options) -> RepairConfig:
    return RepairConfig(
        exchange_interval_s=options.exchange_interval_s,
        walk_interval_s=options.walk_interval_s,
        confirm_s=options.confirm_s,
        young_ms=options.young_ms,
    )


def _transfer_config(options: Options) -> TransferConfig:
    return TransferConfig(
        page_bytes=options.transfer_page_bytes,
        snapshot_limit=options.transfer_snapshots,
        patience_s=options.transfer_patience_s,
        hints_wait_s=options.hints_wait_s,
    )
