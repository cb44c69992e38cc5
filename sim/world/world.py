"""A whole cluster: machines, clients, network, faults, on one heap.

What: ``World`` is built from options alone. ``begin`` starts everything; ``advance`` lets time pass; the rest answers
questions about the state (does everybody serve, are the hints gone) and gathers the evidence.

Invariant: a world is a pure function of its options, operations and faults. Nothing here reads a clock, draws from the
system, or iterates over a set whose order could differ.

Why phases are not here: ``run`` decides what happens when, and tests may decide otherwise.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import attrs

from dynacache.node import Node
from dynacache.placement.partitions import partition_of_key
from dynacache.types import Level

from ..draws import Draws
from ..evidence import Evidence, Gauge, NodeSnapshot, TableEvent
from ..faults.apply import Trouble
from ..faults.draw import STARTUP_S, client_names, node_names, subscriber_names
from ..faults.schedule import Fault
from ..history import OperationKind, OperationRecord, StoreCause
from ..node_config import config, prepare
from ..options import FIRST_NAMESPACE, Options, factor_of
from ..workload import Operation
from .clients import SimClient
from .clocks import WallClock
from .gauges import gauge, inside_of, refused, repair_spent, snapshot
from .heap import START_S, Heap
from .machine import Machine
from .network import Network
from .process import Settings
from .recorder import Recorder
from .rest import unfinished
from .subscribers import SimSubscriber

__all__ = ["GAUGE_INTERVAL_S", "PORT", "World"]

PORT = 7400
GAUGE_INTERVAL_S = 1.0
_RECOUNT_SHARE = 0.2
_FIRST_SUBSCRIBER = 500
_LISTENING_S = 1.0
_ClientT = TypeVar("_ClientT", bound=SimClient)
_FACTOR_OPERATION = -1
"""The number of the order that gives a namespace its replication factor, before the workload."""


@attrs.define(eq=False, repr=False)
class World:
    """Everything there is in one run."""

    options: Options
    heap: Heap = attrs.field(factory=Heap)
    draws: Draws = attrs.field(init=False)
    recorder: Recorder = attrs.field(init=False)
    network: Network = attrs.field(init=False)
    machines: dict[str, Machine] = attrs.field(factory=dict)
    """Founders first; joiners stand ready and do not run."""
    clients: list[SimClient] = attrs.field(factory=list)
    subscribers: list[SimSubscriber] = attrs.field(factory=list)
    trouble: Trouble = attrs.field(init=False)
    history: list[OperationRecord] = attrs.field(factory=list)
    gauges: list[Gauge] = attrs.field(factory=list)
    failure: str = ""
    error: BaseException | None = None
    safety_began_s: float = 0.0
    faults_end_s: float = 0.0
    _repair_spent: dict[str, int] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Build machines and clients."""
        options = self.options
        self.draws = Draws(options.seed)
        self.recorder = Recorder(self.heap)
        rates = {
            "loss": options.loss_rate,
            "duplicate": options.duplicate_rate,
            "reorder": options.reorder_rate,
            "corrupt": options.corrupt_rate,
        }
        self.network = Network(self.heap, self.draws, options.delay_minimum_s, options.delay_mean_s, rates)
        self.network.settle()
        founders = node_names(options)
        joiners = tuple(f"j{number}" for number in range(1, options.joiners + 1))
        secret = "the simulator's secret" if self.draws.stream("secret").chance(0.5) else None
        node_config = config(options)
        for index, name in enumerate(founders + joiners):
            seeds = tuple((other, PORT) for other in founders if other != name)
            settings = Settings(
                name=name,
                index=index,
                address=(name, PORT),
                zone=f"z{index % options.zones}" if options.zones > 1 else "",
                founders=len(founders) if name in founders else None,
                seeds=seeds,
                partition_count=options.partition_count,
                replication_factor=options.replication_factor,
                secret=secret,
                peer_high_water_bytes=options.peer_high_water_bytes,
                prepare=partial(prepare, options),
            )
            network = attrs.evolve(node_config.network, secret=secret or "")
            machine = Machine(
                settings,
                attrs.evolve(node_config, network=network),
                self.heap,
                self.network,
                self.draws,
                self.recorder,
                self._table_changed,
                self._failed,
                self._clock(name),
            )
            self.machines[name] = machine
        names = client_names(options)
        for index, name in enumerate(names):
            self.clients.append(self._client(SimClient, name, index, secret))
        followers = subscriber_names(options)
        for index, name in enumerate(followers, _FIRST_SUBSCRIBER):
            subscriber = self._client(SimSubscriber, name, index, secret)
            subscriber.pause_s = options.subscriber_pause_s
            self.subscribers.append(subscriber)
        names += followers
        self.trouble = Trouble(self.heap, self.network, self.machines, names, self.recorder, self.draws)

    # Time

    def begin(self, faults: Sequence[Fault] = ()) -> None:
        """Start the founders, a little apart, with the faults of the start-up."""
        for name in node_names(self.options):
            delay_s = self.draws.stream("start", name).uniform(0.0, 0.5)
            self.heap.after(delay_s, self.machines[name].start)
        for fault in faults:
            if fault.at_s < 0:
                self.heap.at(START_S + STARTUP_S + fault.at_s, self.trouble.apply, fault)
        self.heap.after(GAUGE_INTERVAL_S, self._look)

    def choose_factor(self) -> Callable[[], bool]:
        """Have the first namespace given its replication factor; returns what tells whether every founder knows it."""
        factor = factor_of(self.options, FIRST_NAMESPACE)
        if factor:
            about = {"level": Level.ALL.value, "namespace": FIRST_NAMESPACE.encode()}
            about["settings"] = {"replication_factor": factor}
            self.clients[0].start(Operation(_FACTOR_OPERATION, 0.0, 0, OperationKind.CONFIGURE, b"", about))
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        return lambda: all(node.shared.namespaces.factor(FIRST_NAMESPACE) == factor for node in nodes)

    def begin_safety(self, operations: Sequence[Operation], faults: Sequence[Fault]) -> None:
        """Put the workload and the faults on the heap, from now on."""
        self.safety_began_s = now_s = self.heap.now_s
        for fault in faults:
            if fault.at_s >= 0:
                self.heap.at(now_s + fault.at_s, self.trouble.apply, fault)
        for operation in operations:
            if operation.kind is OperationKind.SUBSCRIBE:
                self.heap.at(now_s + operation.at_s, self.subscribers[operation.client].subscribe, operation)
            else:
                self.heap.at(now_s + operation.at_s, self.clients[operation.client].start, operation)

    def end_faults(self) -> None:
        """Nothing is wrong from now on: network whole, clocks right, every founder runs."""
        self.trouble.end_all()
        self.network.rates.clear()
        self.network.settle()
        for machine in self.machines.values():
            machine.clock.correct(self.heap.now_s)
            if self.is_wanted(machine):
                machine.start()
        for subscriber in self.subscribers:
            subscriber.pause_s = 0.0
        self.faults_end_s = self.heap.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.heap.run(self.heap.now_s + seconds)

    def advance_until(self, true: Callable[[], bool], limit_s: float, step_s: float = 0.25) -> bool:
        """Let time pass until something is so, or a limit; returns whether it is."""
        end_s = self.heap.now_s + limit_s
        while not true():
            if self.heap.now_s >= end_s or self.heap.halted:
                return False
            self.heap.run(min(end_s, self.heap.now_s + step_s))
        return True

    def phase(self, name: str) -> None:
        """Close the account of the present phase and begin another."""
        spent = repair_spent([each.node for each in self.machines.values() if each.node is not None])
        # What a node had counted that ended meanwhile is missing: an account is right in phases without restarts.
        self.recorder.phase(name, {key: max(0, spent[key] - self._repair_spent.get(key, 0)) for key in spent})
        self._repair_spent = spent

    # State

    def founders_serve(self) -> bool:
        """Tell whether every founder, and who joined, has a node that knows a table, but for those that left."""
        return all(machine.node is not None for machine in self.machines.values() if self.is_wanted(machine))

    def is_wanted(self, machine: Machine) -> bool:
        """Tell whether a machine ought to run: it is a founder or was started once, and was not asked to leave."""
        return (machine.name[0] == "n" or machine.lives > 0) and machine.name not in self.trouble.gone

    def is_linked(self) -> bool:
        """Tell whether every running node reaches every other one of the table and holds it alive, and no stream waits
        for the rest of a frame (a corrupt length is found out by the frame's deadline only)."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        processes = [machine.process for machine in self.machines.values() if machine.process is not None]
        if any(each.reader.pending_bytes for one in processes for each in one.connections.by_number.values()):
            return False
        return all(
            entry.node_id == node.node_id
            or (node.links.usable(entry.node_id) and node.members.states()[entry.node_id] == 0)
            for node in nodes
            for entry in node.members.table.entries.values()
            if entry.node_id in self.machines and self.machines[entry.node_id].node is not None
        )

    def unfinished(self, *, trees: bool = True) -> str:
        """Return what is not at rest, in words; empty when everything is (``trees``: and all owners hold the same)."""
        if not self.founders_serve():
            return "not every node serves"
        if not self.is_linked():
            return "not every node reaches every other"
        nodes = {name: machine for name, machine in self.machines.items() if machine.node is not None}
        full = {name: refused(machine) for name, machine in nodes.items()}
        return unfinished([each.node for each in nodes.values() if each.node is not None], full, trees=trees)

    def is_drained(self) -> bool:
        """Tell whether no hint is kept and no request waits anywhere."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        return all(not node.hints.targets() and not node.shared.pending for node in nodes)

    def is_filled(self) -> bool:
        """Tell whether every node's memory is complete."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        return not any(node.engine.warming or node.engine.stale for node in nodes)

    def is_full(self) -> bool:
        """Tell whether some store takes nothing, of some namespace at least, from repair that it does not hold."""
        return any(
            machine.node.engine.room() is not True for machine in self.machines.values() if machine.node is not None
        )

    def differences_found(self) -> int:
        """Return how many differences all processes that run have repaired."""
        return repair_spent([each.node for each in self.machines.values() if each.node is not None])["differences"]

    def clients_rest(self) -> bool:
        """Tell whether every operation has ended."""
        return not any(client.running for client in self.clients)

    def subscribers_know_all(self) -> bool:
        """Tell whether every subscriber has been told all that happened until the faults ended, and some time later."""
        running = [name for name, machine in self.machines.items() if machine.node is not None]
        return all(each.is_quiet(running, self.faults_end_s + _LISTENING_S) for each in self.subscribers)

    # Evidence

    def snapshots(self) -> dict[str, NodeSnapshot]:
        """Return what every running node holds now."""
        events, witnessed = self.recorder.store_events, self.witnessed()
        left_out = sorted({*witnessed, *(event.key for event in events if event.cause is StoreCause.EVICT)})
        nodes = [(name, machine, machine.node) for name, machine in self.machines.items()]
        return {name: snapshot(machine, node, left_out) for name, machine, node in nodes if node is not None}

    def witnessed(self) -> dict[bytes, frozenset[int]]:
        """Return the keys that repair asked a full store to remember, each with the hybrid times of the versions."""
        found = self.recorder.witnessed
        node = next((machine.node for machine in self.machines.values() if machine.node is not None), None)
        if not found or node is None:
            return {}
        shift, engine = node.members.placement.shift, node.engine
        keys = sorted({event.key for event in self.recorder.store_events})
        inside = {key: inside_of(node, key) for key in keys}
        numbers = {key: engine.fingerprint(partition_of_key(each, shift), each) for key, each in inside.items()}
        return {key: frozenset(found[number]) for key, number in numbers.items() if number in found}

    def evidence(self, **more: Any) -> Evidence:
        """Gather everything; ``snapshots`` of an earlier moment may be given."""
        recorder = self.recorder
        for client in self.clients:
            self.history.extend(client.unfinished())
        history = tuple(sorted(self.history, key=lambda record: record.call_sequence))
        nodes = {name: machine for name, machine in self.machines.items() if machine.node is not None}
        snapshots = more.pop("snapshots", None) or self.snapshots()
        keys = sorted({record.key for record in history if record.key})
        placement = next((m.node.members.placement for m in nodes.values() if m.node is not None), None)
        one = next((m.node for m in nodes.values() if m.node is not None), None)
        partitions = (
            {key: partition_of_key(inside_of(one, key), one.members.placement.shift) for key in keys} if one else {}
        )
        owners = {key: placement.owners(partition) for key, partition in partitions.items()} if placement else {}
        return Evidence(
            options=self.options,
            history=history,
            store_events=tuple(recorder.store_events),
            snapshots=snapshots,
            witnessed=self.witnessed(),
            gauges=tuple(self.gauges),
            membership=tuple(recorder.membership),
            tables=tuple(recorder.tables),
            catalogue=tuple(recorder.catalogue),
            happenings=tuple(recorder.happenings),
            subscribers=tuple(each.subscribed for each in self.subscribers if each.subscribed is not None),
            told=tuple(recorder.told),
            machines=tuple(recorder.machines),
            faults=tuple(self.trouble.applied),
            traffic=tuple(recorder.traffic),
            owners=owners,
            partitions=partitions,
            notes=tuple(recorder.notes),
            start_s=self.safety_began_s,
            faults_end_s=self.faults_end_s,
            end_s=self.heap.now_s,
            stopped_early=self.failure,
            **more,
        )

    # Inside

    def _clock(self, name: str) -> WallClock:
        options = self.options
        stream = self.draws.stream("clock", name)
        offset = stream.uniform(-1, 1) * options.clock_offset_ms
        return WallClock(offset, stream.uniform(-1, 1) * options.clock_drift_ppm)

    def _client(self, kind: type[_ClientT], name: str, index: int, secret: str | None) -> _ClientT:
        seeds = [(node, PORT) for node in node_names(self.options)]
        order = self.draws.stream("seeds", name).sample(seeds, len(seeds))
        return kind(
            name,
            index,
            tuple(order),
            secret,
            self.options.client_timeout_s,
            self.heap,
            self.network,
            self.draws,
            self.recorder,
            self.history.append,
            self._clock(name),
        )

    def _look(self) -> None:
        self.heap.after(GAUGE_INTERVAL_S, self._look)
        second = int(self.heap.now_s)
        for name, machine in self.machines.items():
            if machine.node is not None:
                recount = self.draws.stream("recount", name, second).chance(_RECOUNT_SHARE)
                self.gauges.append(gauge(machine, machine.node, self.heap.now_s, recount=recount))

    def _table_changed(self, machine: Machine, node: Node) -> None:
        placement, table = node.members.placement, node.members.table
        members = tuple((each.node_id, int(each.state), each.zone, each.weight) for each in table.entries.values())
        owners = tuple(tuple(each) for each in placement.owners_by_partition)
        factors = tuple(factor for factor, _ in table.factors)
        sequence, at_s = self.recorder.stamp()
        self.recorder.tables.append(
            TableEvent(sequence, at_s, machine.name, node.shared.digest, members, owners, factors)
        )

    def _failed(self, machine: Machine, error: BaseException) -> None:
        self.error = error
        self.failure = f"{type(error).__name__} left the core of {machine.name}: {error}"
        self.heap.halted = True
