"""How large a cluster must be: arithmetic over measured costs, every assumption a field.

What: ``plan`` says what a cluster of so many nodes does under a workload, at its peak, whole and with one node lost;
``nodes_for`` is the smallest cluster that carries given rates and data.

The model: a node is one process and uses one core. Its work is the share of all coordination and replication that the
placement gives it; the busiest node has ``skew`` times the mean. A turn of a process costs its core what was measured,
and ``turn_s`` more for sockets and scheduler. Entries may fill ``memory_share`` of a node's memory; the rest is for the
interpreter, buffers, hints and the system. When a node is lost, its coordination goes to the others, every write of
which it is an owner becomes a hint as well, and its copies exist only on the other owners until they are brought back.

Invariant: pure arithmetic. Costs per operation do not depend on the number of nodes, because an operation concerns its
owners and nobody else; that this is so is measured elsewhere (one node's messages for one operation, by cluster size).
"""

import math

import attrs

from dynacache.config.hints import HintConfig
from dynacache.repair.hints import HINT_OVERHEAD_BYTES

from .operation_costs import OperationCosts

__all__ = ["Loss", "Machine", "Plan", "Workload", "nodes_for", "plan"]

_GIGABYTE = 1_000_000_000
_DAY_S = 86_400


@attrs.frozen
class Workload:
    """What users ask for."""

    users: int = 50_000_000
    requests_per_user_day: float = 100.0
    peak_per_s: float = 100_000.0
    read_share: float = 0.8

    @property
    def mean_per_s(self) -> float:
        """Return requests a second over a day."""
        return self.users * self.requests_per_user_day / _DAY_S


@attrs.frozen
class Machine:
    """What one node has, and what is assumed about it."""

    memory_bytes: int = 64 * _GIGABYTE
    memory_share: float = 0.75
    """Of the memory, for entries."""
    core_share: float = 0.6
    """Of its core, that a node may use at the peak."""
    skew: float = 1.25
    """Load of the busiest node, of the mean."""
    turn_s: float = 0.000_015
    """What a turn costs a busy process beyond the core: sockets, polling, scheduler. Measured: 12 microseconds for a
    read at one with 50 connections. (An idle process that has to be woken pays 70 to 110; that is no limit.)"""


@attrs.frozen
class Loss:
    """One node is gone."""

    core_use_busiest: float
    """Of a core, of the busiest of those that are left."""
    hints_per_s: float
    """Over all who are left, at the peak."""
    hint_bytes_per_s: float
    hints_full_after_s: float
    """From then on fallbacks refuse to stand in, and replicas are left behind."""
    replay_s: float
    """To bring full budgets back to a node that returns."""
    copies_bytes: float
    """Data of which one copy is gone."""


@attrs.frozen
class Plan:
    """What a cluster does under a workload. Rates at the peak."""

    nodes: int
    requests_per_node_s: float
    core_use: float
    """Of a node's one core, on average."""
    core_use_busiest: float
    core_use_batched: float
    """On average, when a turn serves a batch of requests."""
    client_bits_per_node_s: float
    peer_bits_per_node_s: float
    messages_per_node_s: float
    """Between nodes, sent."""
    entries: float
    """Distinct ones that fit."""
    payload_bytes: float
    """Of distinct keys and values that fit."""
    entry_bytes: float
    """Memory for one entry on one node."""
    loss: Loss


def plan(
    nodes: int,
    workload: Workload,
    machine: Machine,
    costs: OperationCosts,
    batched: OperationCosts,
    overhead_bytes: float,
    *,
    replication_factor: int = 3,
    hints: HintConfig | None = None,
) -> Plan:
    """Return what a cluster of ``nodes`` does; raises ValueError when there are not more nodes than copies."""
    if nodes <= replication_factor:
        raise ValueError(f"nodes: got {nodes}, expected more than the {replication_factor} copies")
    peak = workload.peak_per_s
    entry_bytes = costs.key_bytes + costs.value_bytes + overhead_bytes
    entries = nodes * machine.memory_bytes * machine.memory_share / (entry_bytes * replication_factor)
    core_use = peak * _computing_s(workload, machine, costs) / nodes
    reads, writes = peak * workload.read_share, peak * (1 - workload.read_share)
    client = reads * costs.read.client_bytes + writes * costs.write.client_bytes
    # What one node sends another receives, so that each byte passes two network cards.
    between = 2 * (reads * costs.read.peer_bytes + writes * costs.write.peer_bytes)
    messages = reads * costs.read.messages + writes * costs.write.messages
    payload = costs.key_bytes + costs.value_bytes
    return Plan(
        nodes=nodes,
        requests_per_node_s=peak / nodes,
        core_use=core_use,
        core_use_busiest=core_use * machine.skew,
        core_use_batched=peak * _computing_s(workload, machine, batched) / nodes,
        client_bits_per_node_s=8 * client / nodes,
        peer_bits_per_node_s=8 * between / nodes,
        messages_per_node_s=messages / nodes,
        entries=entries,
        payload_bytes=entries * payload,
        entry_bytes=entry_bytes,
        loss=_loss(nodes, workload, machine, core_use, entry_bytes, entries, replication_factor, hints or HintConfig()),
    )


def nodes_for(
    payload_bytes: float,
    workload: Workload,
    machine: Machine,
    costs: OperationCosts,
    overhead_bytes: float,
    *,
    replication_factor: int = 3,
) -> tuple[int, int]:
    """Return the fewest nodes that hold so many bytes of distinct keys and values, and the fewest that carry the peak
    when one of them is lost."""
    payload = costs.key_bytes + costs.value_bytes
    stored = payload_bytes * (payload + overhead_bytes) / payload * replication_factor
    by_memory = math.ceil(stored / (machine.memory_bytes * machine.memory_share))
    cores = workload.peak_per_s * _computing_s(workload, machine, costs)
    by_core = math.ceil(cores * machine.skew / machine.core_share) + 1
    return by_memory, max(by_core, replication_factor + 1)


def _computing_s(workload: Workload, machine: Machine, costs: OperationCosts) -> float:
    """Return what all nodes compute for one request of the mix."""
    read = costs.read.computing_s + costs.read.turns * machine.turn_s
    write = costs.write.computing_s + costs.write.turns * machine.turn_s
    return workload.read_share * read + (1 - workload.read_share) * write


def _loss(
    nodes: int,
    workload: Workload,
    machine: Machine,
    core_use: float,
    entry_bytes: float,
    entries: float,
    copies: int,
    hints: HintConfig,
) -> Loss:
    left = nodes - 1
    hints_per_s = workload.peak_per_s * (1 - workload.read_share) * copies / nodes
    bytes_per_s = hints_per_s * (entry_bytes + HINT_OVERHEAD_BYTES)
    room_bytes = left * min(hints.target_limit_bytes, hints.limit_bytes)
    room_s = min(room_bytes / bytes_per_s, left * hints.target_limit_count / hints_per_s)
    return Loss(
        core_use_busiest=core_use * machine.skew * nodes / left,
        hints_per_s=hints_per_s,
        hint_bytes_per_s=bytes_per_s,
        hints_full_after_s=min(room_s, hints.lifetime_ms / 1000),
        replay_s=hints.target_limit_bytes / hints.replay_bytes_per_s,
        copies_bytes=entries * entry_bytes * copies / nodes,
    )
