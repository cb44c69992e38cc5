"""How the parts of a node that need many settings are made.

What: one function a part; each reads the configuration and the parts that exist already from the node it is given.

Invariant: nothing is kept here, and nothing is done but constructing.

Why apart from ``core``: that file is about a turn; what a part is handed at its birth is looked up once, here.
"""

from random import Random
from typing import TYPE_CHECKING

from dynacache.config import Config
from dynacache.coordination.invalidate import Invalidator
from dynacache.membership.state import Member
from dynacache.membership.swim import Swim
from dynacache.node.clock_watch import ClockWatch
from dynacache.node.closing import Closing
from dynacache.node.quarantine import Quarantine
from dynacache.placement.table import MemberTable
from dynacache.repair.sync_times import STALE_SHARE
from dynacache.repair.transfer import Transfer
from dynacache.storage.engine import Engine
from dynacache.types import Instant
from dynacache.wire.messages import INVALIDATE

if TYPE_CHECKING:
    from dynacache.node.core import Node

__all__ = ["closing_of", "engine_of", "invalidator_of", "quarantine_of", "retention_ms", "swim_of", "transfer_of"]


def closing_of(node: "Node") -> Closing:
    """What ends the node in good order."""
    in_flight, stop_timeout_s = node.repair_port.other_requests, node.config.network.stop_timeout_s
    return Closing(node.shared, node.gate, node.replay, node.members, in_flight, stop_timeout_s)


def quarantine_of(node: "Node", now: Instant) -> Quarantine:
    """What holds this machine's clock against the others'."""
    return Quarantine(
        node.shared,
        node.engine,
        node.hints,
        ClockWatch.starting(node.config.coordination.max_clock_skew_ms, now),
        node.gate.distrust_clock,
        node.begin_warming,
        node.catalogue_sync.forget_after,
        node.writer.give_up,
    )


def invalidator_of(node: "Node") -> Invalidator:
    """What dates and keeps epochs; one outlives every copy that may hold what it has ended. The gate serves it from now
    on, and what is ``observed``."""
    coordination, storage = node.config.coordination, node.config.storage
    node.shared.fill_lifetime_ms = min(coordination.fill_lifetime_ms, storage.gc_grace_min_ms)
    invalidator = Invalidator(node.shared, node.engine, retention_ms(node.config))
    node.gate.served |= {INVALIDATE: invalidator.serve, **node.observed.served()}
    return invalidator


def retention_ms(config: Config) -> int:
    """How long it is remembered that something was invalidated or dropped: longer than any copy that is not stale can
    have missed it."""
    return config.storage.gc_grace_max_ms + 2 * config.coordination.max_clock_skew_ms


def transfer_of(node: "Node") -> Transfer:
    """What fills incomplete copies, and serves those who fill theirs."""
    settings, storage = node.config.coordination, node.config.storage
    return Transfer(
        node.repair_port,
        node.config.transfer,
        node.engine,
        node.news,
        lambda node_id: node.hints.counts().get(node_id, 0),
        settle_s=(settings.max_message_age_ms + 2 * settings.max_clock_skew_ms) / 1000,
        keep_ms=storage.gc_grace_min_ms,
        stale_after_ms=int(storage.gc_grace_max_ms * STALE_SHARE),
    )


def engine_of(config: Config, table: MemberTable, random: Random) -> Engine:
    """The store, with the partitions that the table knows of."""
    engine = Engine(config.storage, table.partition_count, random)
    for factor, _ in table.factors:
        engine.add_factor(factor)
    engine.hash_seed = int.from_bytes(table.cluster_id[:4], "big")
    return engine


def swim_of(node: "Node", table: MemberTable, random: Random) -> Swim:
    """The membership protocol, as this node's entry in the table says."""
    entry = table.entries[node.node_id]
    member = Member(entry.node_id, entry.host, entry.port, entry.generation, zone=entry.zone, weight=entry.weight)
    secret = node.config.network.secret
    keyring = [secret.encode()] if secret else []
    return Swim(node.config.membership, member, random, keyring, table.cluster_id)
