"""One machine: a process with a node core in it, started, fed, slowed, paused, killed and started again.

What: ``Machine`` is a host of the network. ``start`` begins a life: the birth machine first, then a ``Node`` with what
the birth ended in. Arrivals are handed to the core in turns, its effects are performed at once, and it is woken at its
deadlines. Everything of a life hangs on its ``Process``; ``crash`` cuts that off first and drops it afterwards.

Invariant: one turn at a time; while the process is paused, or busy with a slow turn, what arrives waits and is handed
over together. Nothing of an earlier life acts in a later one.

Why memory is lost with the process: a node keeps nothing on disk yet. An exception that leaves ``Node.handle`` is
itself a violation (P10): it ends the run.
"""

from collections.abc import Callable
from typing import Any

import attrs

from dynacache.config import Config
from dynacache.events import (
    Close,
    Connect,
    DatagramReceived,
    Disconnect,
    Effects,
    Halt,
    LoopLag,
    Note,
    Stopped,
    StopRequested,
)
from dynacache.membership.birth import Failed
from dynacache.node import Node
from dynacache.types import Instant

from ..draws import Draws
from .before_birth import answer_before_birth
from .clocks import WallClock
from .connections import Connection, Connections
from .heap import Heap
from .network import UNACKNOWLEDGED_LIMIT_S, Address, End, Network
from .observer import observe
from .peering import Peering
from .process import Hellos, Process, Settings, birth_of
from .recorder import Recorder
from .traffic import send_effects

__all__ = ["Machine"]

_LAG_NOTICE_S = 0.05
_EXIT_S = 0.05
"""From the end of a graceful stop to the end of the process: what was sent leaves."""
_SUPERVISOR_S = 2.0
"""A process that ended by itself is started again after this."""


@attrs.define(eq=False, repr=False)
class Machine:
    """A host that runs one node process at a time."""

    settings: Settings
    config: Config
    heap: Heap
    network: Network
    draws: Draws
    recorder: Recorder
    table_changed: Callable[["Machine", Node], None]
    failed: Callable[["Machine", BaseException], None]
    """Called when an exception left the core."""
    clock: WallClock = attrs.field(factory=WallClock)
    process: Process | None = None
    paused: bool = False
    turn_s: float = 0.0
    """How long one turn keeps the process busy."""
    lives: int = 0
    name: str = attrs.field(init=False)
    _busy_until_s: float = 0.0
    _turn_due: bool = False
    _waiting: list[tuple[End, bytes | None]] = attrs.field(factory=list)
    _datagrams: list[DatagramReceived] = attrs.field(factory=list)
    _orphans: list[End] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        """Stand at the network."""
        self.name = self.settings.name
        self.network.hosts[self.settings.address] = self

    @property
    def node(self) -> Node | None:
        """The core that runs here now."""
        return self.process.node if self.process is not None else None

    # Lives

    def start(self) -> None:
        """Start a process, unless one runs."""
        if self.process is not None:
            return
        self.lives += 1
        settings, now_s = self.settings, self.heap.now_s
        self._power_on()
        draws = self.draws.stream("incarnation", self.name, self.lives)
        wall_ms = self.clock.now_ms(now_s)
        incarnation = (wall_ms & (1 << 48) - 1) << 16 | draws.integer(0, 65_535)
        birth = birth_of(settings, incarnation)
        hellos = Hellos(settings, self.draws, birth)
        connections = Connections(self.heap, self.network, settings.peer_high_water_bytes, self._soon)
        peering = Peering(self, self.heap, self.network, connections, hellos.initiator, self._answered, self.draws)
        self.process = Process(incarnation, birth, hellos, connections, peering)
        self._busy_until_s = now_s
        self.recorder.machine(self.name, "started", incarnation)
        self._tend_birth()

    def crash(self, silent: bool = False) -> None:
        """Kill the process; ``silent``: as if the power went, so that nobody is told."""
        process = self._end("crashed")
        if process is None:
            return
        others = self.network.abandon(self, silent)
        if silent:
            self.network.silent.add(self.name)
            self._orphans = others
            for other in others:
                self.heap.after(UNACKNOWLEDGED_LIMIT_S, self.network.break_stream, other)
        else:
            for other in others:
                # The kernel of the dead process says so behind what was sent.
                if other.other is not None:
                    self.network.send(other.other, None)

    def _power_on(self) -> None:
        """The machine of a silent crash is back: streams of before are refused from now on."""
        self.network.silent.discard(self.name)
        orphans, self._orphans = self._orphans, []
        for other in orphans:
            if other.open and other.other is not None:
                self.network.send(other.other, None)

    def stop(self, within_s: float) -> None:
        """Ask the node to stop without giving up its place."""
        process = self.process
        if process is None or process.stopping:
            return
        process.stopping = True
        self.recorder.machine(self.name, "stopping", process.incarnation)
        if process.node is None:
            self._exit(process)
            return
        process.connections.inputs.append(StopRequested(self.heap.now_s + within_s))
        self._soon()
        self.heap.after(within_s + 2.0, self._exit, process)

    def pause(self) -> None:
        """Let the process stand still."""
        if not self.paused:
            self.paused = True
            self.recorder.machine(self.name, "paused")

    def resume(self) -> None:
        """Let it go on, late for everything."""
        if self.paused:
            self.paused = False
            self.recorder.machine(self.name, "resumed")
            self._soon()

    def _exit(self, process: Process) -> None:
        if self.process is process:
            for connection in list(process.connections.by_number.values()):
                process.connections.close(connection)
            self._end("stopped")

    def _end(self, kind: str) -> Process | None:
        process, self.process = self.process, None
        if process is None:
            return None
        process.peering.end()
        self._waiting.clear()
        self._datagrams.clear()
        if process.observer is not None:
            process.observer.lost()
        self.recorder.machine(self.name, kind, process.incarnation)
        return process

    # The network's side

    def accept(self, end: End) -> bool:
        """Take a stream, if a process listens."""
        process = self.process
        if process is None or process.stopping:
            return False
        process.connections.adopt(end, process.hellos.acceptor())
        return True

    def arrived(self, end: End, data: bytes | None) -> None:
        """Take what came on a stream, now or when the process has time."""
        if self.process is None:
            return
        self.recorder.delivered(self.settings.index, 1 if data else 0, end.number, data or b"")
        if self.paused or self._busy_until_s > self.heap.now_s:
            self._waiting.append((end, data))
            self._soon()
            return
        self._take(self.process, end, data)
        self._turn()

    def datagram(self, payload: bytes, address: Address) -> None:
        """Take a datagram likewise."""
        process = self.process
        if process is None or process.node is None:
            return
        self.recorder.delivered(self.settings.index, 2, 0, payload)
        self._datagrams.append(DatagramReceived(payload, address))
        if self.paused or self._busy_until_s > self.heap.now_s:
            self._soon()
        else:
            self._turn()

    def blocked(self, end: End, blocked: bool) -> None:
        """Pass on that a stream is full, or has room again."""
        if self.process is not None and end.state is not None:
            self.process.connections.blocked(end.state, blocked)

    # Turns

    def _soon(self) -> None:
        if not self._turn_due and not self.paused:
            self._turn_due = True
            self.heap.at(self._busy_until_s, self._late_turn)

    def _late_turn(self) -> None:
        self._turn_due = False
        if self.process is not None:
            if self.paused:
                return
            if self._busy_until_s > self.heap.now_s:
                self._soon()
                return
            self._turn()

    def _take(self, process: Process, end: End, data: bytes | None) -> None:
        connection: Connection = end.state
        hello = connection.hello
        connections = process.connections
        connections.arrived(connection, data)
        if connection.name == "birth":
            messages = [each for number, group in connections.received if number == connection.number for each in group]
            if messages:
                connections.received = [each for each in connections.received if each[0] != connection.number]
            process.peering.birth_progress(connection, messages, hello is not None and connection.hello is None)

    def _turn(self) -> None:
        """Hand everything that waits to the core, and perform what it answers."""
        process = self.process
        if process is None:
            return
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for end, data in waiting:
                if end.open:
                    self._take(process, end, data)
        connections = process.connections
        received, connections.received = connections.received, []
        inputs, connections.inputs = connections.inputs, []
        node = process.node
        if node is None:
            self._turn_before_birth(process, received)
            return
        if self._datagrams:
            inputs += self._datagrams
            self._datagrams = []
        now_s = self.heap.now_s
        if now_s - process.wake_s > _LAG_NOTICE_S:
            inputs.insert(0, LoopLag(now_s - process.wake_s))
            process.wake_s = now_s
        try:
            effects = node.handle(Instant(now_s, self.clock.now_ms(now_s)), received, inputs)
        except Exception as error:
            self.failed(self, error)
            return
        if self.turn_s:
            self._busy_until_s = now_s + self.turn_s
        self._perform(process, effects)
        if node.shared.digest != process.digest:
            process.digest = node.shared.digest
            self.table_changed(self, node)
        process.due_s = due_s = node.next_deadline()
        if due_s < process.wake_s or process.wake_s <= now_s:
            process.wake_s = due_s
            self.heap.at(due_s, self._wake, process, due_s)

    def _wake(self, process: Process, wake_s: float) -> None:
        """A deadline has come; one that was overtaken is ignored."""
        if self.process is not process or process.wake_s != wake_s:
            return
        if self.paused or self._busy_until_s > self.heap.now_s:
            self._soon()
            return
        due_s = process.due_s  # only a turn changes a core, and so its deadline
        if due_s > self.heap.now_s:
            process.wake_s = due_s
            self.heap.at(due_s, self._wake, process, due_s)
            return
        self._turn()

    def _perform(self, process: Process, effects: Effects) -> None:
        """Encode once for all destinations and send; then do the rare things in order."""
        send_effects(self.name, self.settings.address, process.connections, self.network, self.recorder, effects)
        for other in effects.others:
            self._perform_other(process, other)

    def _perform_other(self, process: Process, other: object) -> None:
        if isinstance(other, Note):
            self.recorder.note(self.name, other)
        elif isinstance(other, Connect):
            process.peering.connect(other.node_id, other.address)
        elif isinstance(other, Disconnect):
            process.peering.disconnect(other.node_id)
        elif isinstance(other, Close):
            connection = process.connections.by_number.get(other.connection)
            if connection is not None:
                process.connections.close(connection)
        elif isinstance(other, Stopped):
            self.heap.after(_EXIT_S, self._exit, process)
        elif isinstance(other, Halt):
            self.recorder.hashed(self.name, "halt", other.reason)
            self._exit(process)
            self.heap.after(_SUPERVISOR_S, self.start)

    # Birth

    def _tend_birth(self) -> None:
        """Let the birth machine ask, and act on its outcome."""
        process = self.process
        if process is None:
            return
        birth, now_s = process.birth, self.heap.now_s
        if not self.paused:
            for question in birth.tick(now_s):
                process.peering.ask(question.address, dict(question.message))
            if process.node is None and birth.outcome is not None:
                self._settle(process)
                if self.process is not process:
                    return
        self._plan_birth(process)

    def _plan_birth(self, process: Process) -> None:
        """See to it that the birth machine is looked at when it wishes, which news may have brought forward."""
        now_s = self.heap.now_s
        due_s = max(process.birth.next_deadline(), now_s + 0.01)
        if due_s < process.birth_wake_s or process.birth_wake_s <= now_s:
            process.birth_wake_s = due_s
            if due_s != float("inf"):
                self.heap.at(due_s, self._birth_due, process, due_s)

    def _birth_due(self, process: Process, due_s: float) -> None:
        if self.process is process and process.birth_wake_s == due_s:
            self._tend_birth()

    def _answered(self, address: Address, reply: Any) -> None:
        process = self.process
        if process is None:
            return
        if reply is None:
            process.birth.handle_unreachable(self.heap.now_s, address, "no answer")
        else:
            process.birth.handle_reply(self.heap.now_s, address, reply)
        if process.node is None and process.birth.outcome is not None:
            self._settle(process)
        if self.process is process:
            self._plan_birth(process)

    def _settle(self, process: Process) -> None:
        """The birth has an outcome: there is a node from now on, or this process ends."""
        outcome = process.birth.outcome
        if isinstance(outcome, Failed) or outcome is None:
            self.recorder.hashed(self.name, "failed", str(outcome))
            self._exit(process)
            self.heap.after(_SUPERVISOR_S, self.start)
            return
        now_s = self.heap.now_s
        instant = Instant(now_s, self.clock.now_ms(now_s))
        me, random = outcome.entry, self.draws.random("node", self.name, self.lives)
        node = Node(
            self.config, me.node_id, me.generation, process.birth, outcome.table, outcome.complete, random, instant
        )
        self.settings.prepare(node)
        process.node = node
        process.observer = observe(self.name, node, self.recorder)
        process.connections.inputs = process.connections.open_links()
        process.wake_s = now_s
        self.recorder.machine(self.name, "serving", me.generation, complete=outcome.complete)
        self._soon()

    def _turn_before_birth(self, process: Process, received: list[tuple[int, list[Any]]]) -> None:
        """Answer what comes in while there is no node."""
        answer_before_birth(process.connections, self.network, process.birth, self.heap.now_s, received)
        if process.birth.outcome is not None:
            self._settle(process)
        if self.process is process:
            self._plan_birth(process)
