"""A node as a process: binds, is born or joins, serves, and stops without leaving.

What: `serve` runs one node until it is told to stop; `run` does so as the whole of a process and returns its exit code.
The order of a start: listen on TCP and UDP (so that a taken address is told before anything else), answer and ask the
questions of the birth, build the node around the outcome, hand it the loop and every connection that is open already.

Invariant: every way to end is one of three: a clean stop (exit code 0), an error of the tree with its own exit code and
one sentence, or a defect with a traceback. A stop announces itself to the node and gives it until `stop_timeout_s`:
nothing new is accepted, what is in flight is finished, hints are handed over, peers are told; the node's place in the
cluster stays its own. A second signal ends the process at once.

Why one function for all tasks: they stand in one nursery, so none outlives the others, and whichever fails first takes
the node down instead of leaving half of it alive.
"""

import resource
import signal
import threading
from contextlib import closing, suppress
from functools import partial
from typing import Final

import attrs
import trio

from dynacache.config import Config
from dynacache.config.cluster import parse_address
from dynacache.errors import (
    AddressInUse,
    AuthenticationFailed,
    ClusterMismatch,
    DynacacheError,
    InvalidOption,
    StartupError,
    VersionMismatch,
)
from dynacache.events import (
    Address,
    Connect,
    Disconnect,
    Halt,
    MemoryMeasured,
    Note,
    Stopped,
    StopRequested,
    TrimMemory,
)
from dynacache.membership.birth import Birth, Born, Failed, Joined
from dynacache.node import Node
from dynacache.placement.checks import WireValueError
from dynacache.runtime.birth import BirthCore, BirthDriver
from dynacache.runtime.collector import CollectorCare, calm
from dynacache.runtime.data_loop import DataLoop, Other
from dynacache.runtime.entropy import draw_incarnation, draw_nonce, draw_random, instant_now, monotonic_now
from dynacache.runtime.listener import bind
from dynacache.runtime.logs import LogWriter
from dynacache.runtime.memory import ResidentMemory, Trimmer, calm_allocator, config_within
from dynacache.runtime.peer_links import PeerLinks
from dynacache.runtime.transport import Transport
from dynacache.types import NodeId, Role
from dynacache.wire.handshake import Acceptor, Initiator

__all__ = ["FINISH_GRACE_S", "HOUSEKEEPING_INTERVAL_S", "LINGER_S", "Server", "run", "serve"]

HOUSEKEEPING_INTERVAL_S: Final = 1.0
LINGER_S: Final = 0.005
FINISH_GRACE_S: Final = 1.0
"""Seconds that output may take to leave after the node has stopped or run out of time."""
_WILDCARDS: Final = frozenset({"0.0.0.0", "::", ""})
_HALTS: Final = (AddressInUse, AuthenticationFailed, ClusterMismatch, VersionMismatch)


def run(config: Config, log_level: str = "info") -> int:
    """Be a node until SIGTERM or SIGINT; return the exit code 0. Raises an error of the tree when it cannot start."""
    log = LogWriter(level=log_level)
    try:
        trio.run(partial(serve, config, log, owns_process=True))
    finally:
        log.close()
    return 0


async def serve(
    config: Config,
    log: LogWriter,
    *,
    owns_process: bool = False,
    task_status: "trio.TaskStatus[Server]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run one node until it is stopped.

    Reports itself started, with its `Server`, as soon as it listens; `Server.ready` tells when it serves. Raises an
    error of the tree, alone and not in a group, when it cannot start or must not go on. ``owns_process`` says that the
    process does nothing else: the collector's thresholds, the limit of descriptors and signals are then set as a node
    needs them, and the data loop may block for a millisecond (see `DataLoop`).
    """
    server = Server.bound(config, log, owns_process=owns_process)
    task_status.started(server)
    await server.run()


@attrs.define(eq=False)
class Server:
    """One node in this process."""

    config: Config
    log: LogWriter
    loop: DataLoop
    birth: Birth
    address: Address
    """Where others reach this node."""
    owns_process: bool = False
    ready: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set once the member table is known and clients are served."""
    node: Node | None = attrs.field(default=None, init=False)
    _driver: BirthDriver = attrs.field(init=False)
    _trimmer: Trimmer = attrs.field(init=False)
    _links: PeerLinks | None = attrs.field(default=None, init=False)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _stop: trio.Event = attrs.field(factory=trio.Event, init=False)
    _stopped: trio.Event = attrs.field(factory=trio.Event, init=False)
    _failure: DynacacheError | None = attrs.field(default=None, init=False)

    @classmethod
    def bound(cls, config: Config, log: LogWriter, *, owns_process: bool = False) -> "Server":
        """Listen, and prepare everything that comes before the node. Raises AddressInUse, InvalidOption."""
        network = config.network
        if network.host in _WILDCARDS and not network.advertise_host:
            raise InvalidOption(
                f"network.advertise_host: got '', expected the address others reach this node at,"
                f" as network.host is {network.host!r}"
            )
        if owns_process:
            _allow_many_descriptors()
            calm_allocator()
        with closing(ResidentMemory()) as memory:
            config = config_within(config, memory.bytes())
        listener, gossip = bind(network.host, network.port)
        address = (network.advertise_host or network.host, listener.address[1])
        try:
            birth = _birth_of(config, address)
        except WireValueError as error:
            listener.close()
            gossip.close()
            raise InvalidOption(str(error)) from error
        hello = _Hello(birth, network.secret or None)
        transport = Transport(network, hello.acceptor, log.write)
        driver = BirthDriver(birth, hello.initiator, log.write)
        core = BirthCore(birth, driver.changed)
        linger_s = LINGER_S if owns_process else 0.0
        loop = DataLoop(network, core, transport, _ignore, listener, gossip, linger_s)
        server = cls(config, log, loop, birth, address, owns_process)
        server._driver = driver
        server._trimmer = Trimmer(log.write)
        loop.perform = server._perform
        log.context["logged_by"] = birth.node_id
        log.write(Note("node.listening", {"host": listener.address[0], "port": address[1]}))
        return server

    @property
    def node_id(self) -> NodeId:
        """This node's name."""
        return self.birth.node_id

    def stop(self) -> None:
        """Begin a stop that keeps the node's place."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until stopped; see `serve`."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                if self.owns_process and threading.current_thread() is threading.main_thread():
                    await nursery.start(self._watch_signals)
                nursery.start_soon(self._run_loop)
                nursery.start_soon(self._stop_when_asked)
                await self._begin(nursery)
        if self.node is not None:
            # A start that failed is told by whoever started the process, in one sentence.
            self.log.write(Note("node.ended", {"reason": str(self._failure or "stopped")}))
        if self._failure is not None:
            raise self._failure

    # The start.

    async def _begin(self, nursery: trio.Nursery) -> None:
        outcome = await self._driver.run()
        if isinstance(outcome, Failed):
            self._fail(outcome.error)
            return
        self.node = node = self._make_node(outcome)
        hello = _Hello(self.birth, self.config.network.secret or None)
        self._links = PeerLinks(self.loop, nursery, hello.initiator, self.log.write, draw_random())
        if self.owns_process:
            calm()
        self.loop.replace_core(node)
        nursery.start_soon(self._driver.announce)
        nursery.start_soon(self._keep_house)
        if self.config.memory.limit_bytes:
            nursery.start_soon(self._watch_memory)
        cluster_id = outcome.record.cluster_id.hex()
        self.log.write(Note("node.serving", {"cluster": cluster_id, "complete": outcome.complete}))
        self.ready.set()

    def _make_node(self, outcome: Born | Joined) -> Node:
        me = outcome.entry
        return Node(
            self.config,
            me.node_id,
            me.generation,
            self.birth,
            outcome.table,
            outcome.complete,
            draw_random(),
            instant_now(),
        )

    # What the loop asks for.

    def _perform(self, other: Other) -> None:
        if isinstance(other, Note):
            self.log.write(other)
        elif isinstance(other, Connect):
            assert self._links is not None
            self._links.connect(other.node_id, other.address)
        elif isinstance(other, Disconnect):
            assert self._links is not None
            self._links.disconnect(other.node_id)
        elif isinstance(other, TrimMemory):
            self._trimmer.trim()
        elif isinstance(other, Stopped):
            self._stopped.set()
            self._stop.set()  # not asked for here, where the node gave up its place
        elif isinstance(other, Halt):
            kind = next((each for each in _HALTS if each.exit_code == other.exit_code), StartupError)
            self._fail(kind(other.reason))

    def _fail(self, error: DynacacheError) -> None:
        self._failure = self._failure or error
        self._scope.cancel()

    # Tasks.

    async def _run_loop(self) -> None:
        await self.loop.run()
        self._scope.cancel()

    async def _watch_signals(self, task_status: "trio.TaskStatus[None]") -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for number in signals:
                if self._stop.is_set():
                    self._scope.cancel()
                self.log.write(Note("node.signal", {"signal": signal.Signals(number).name}))
                self.stop()

    async def _stop_when_asked(self) -> None:
        await self._stop.wait()
        self.loop.stop_listening()
        if self.node is None:
            self._scope.cancel()
            return
        deadline_s = monotonic_now() + self.config.network.stop_timeout_s
        self.loop.add_input(StopRequested(deadline_s))
        with trio.move_on_after(self.config.network.stop_timeout_s + FINISH_GRACE_S):
            await self._stopped.wait()
        self.loop.finish(monotonic_now() + FINISH_GRACE_S)

    async def _keep_house(self) -> None:
        care = CollectorCare(self.log.write)
        while True:
            await trio.sleep(HOUSEKEEPING_INTERVAL_S)
            if self.owns_process:
                care.collect()
            if self.loop.gossip is not None:
                await self.loop.gossip.names.refresh()

    async def _watch_memory(self) -> None:
        settings, transport = self.config.memory, self.loop.transport
        buffers_bytes = int(settings.limit_bytes * settings.buffers_share)
        with closing(ResidentMemory()) as memory:
            while True:
                await trio.sleep(settings.interval_s)
                waiting_bytes = transport.limit_output(buffers_bytes)
                self.loop.add_input(MemoryMeasured(memory.bytes() or 0, waiting_bytes))


def _birth_of(config: Config, address: Address) -> Birth:
    network, cluster = config.network, config.cluster
    host, port = address
    return Birth(
        node_id=network.name or f"{host}:{port}",
        incarnation=draw_incarnation(),
        host=host,
        port=port,
        zone=network.zone,
        weight=network.weight,
        founders=cluster.founders,
        seeds=tuple(parse_address(seed, "cluster.seeds") for seed in cluster.seeds),
        partition_count=cluster.partition_count,
        replication_factor=cluster.replication_factor,
        expected_cluster_id=bytes.fromhex(cluster.cluster_id) or None,
        join_timeout_s=cluster.join_timeout_s,
    )


def _ignore(_: Other) -> None:
    """Until the server exists there is nobody to perform effects."""


@attrs.frozen
class _Hello:
    """Makes hellos with what is known of the cluster at that moment."""

    birth: Birth
    secret: str | None = attrs.field(repr=False)

    def acceptor(self) -> Acceptor:
        return Acceptor(self._cluster_id(), self.birth.node_id, self.secret, draw_nonce())

    def initiator(self, role: Role = Role.PEER) -> Initiator:
        return Initiator(role, self._cluster_id(), self.birth.node_id, self.secret, draw_nonce())

    def _cluster_id(self) -> bytes:
        outcome = self.birth.outcome
        if isinstance(outcome, Born | Joined):
            return outcome.record.cluster_id
        return self.birth.expected_cluster_id or b""


def _allow_many_descriptors() -> None:
    """Every connection is a descriptor; take as many as the operator's hard limit grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
