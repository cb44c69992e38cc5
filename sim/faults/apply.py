"""Faults at work: each kind, applied to a world, with its end put on the heap.

What: ``apply`` does one fault now; ``end_all`` ends everything at once, which is how the faults of a run end.

Invariant: a fault undoes exactly what it did, once, at its end or by ``end_all``; two faults that overlap on one link
or one rate add up, and each takes its own part back. A fault on a machine that is not in the state for it does nothing.
"""

from collections.abc import Callable, Iterable

import attrs

from dynacache.placement.table import MemberState
from dynacache.storage.ghosts import GHOST_SHARD_BYTES

from ..draws import Draws
from ..world.heap import Heap
from ..world.machine import Machine
from ..world.network import Network
from ..world.operators import command, wants_place
from ..world.recorder import Recorder
from .schedule import Fault

__all__ = ["Trouble"]

_Undo = Callable[[], None]
_SILENT_SHARE = 0.25
"""Of the crashes, those where the power goes and nobody is told."""
_ROOM_BYTES = 20_000
"""What a lowered memory limit leaves above the empty store."""
_OPERATOR_S = 1.0
"""An operator whose request was refused, or who waits for the end of a node, looks again after this."""
_LEAVING = frozenset({MemberState.LEAVING, MemberState.RETIRING})


@attrs.define(eq=False, repr=False)
class Trouble:
    """All faults in force."""

    heap: Heap
    network: Network
    machines: dict[str, Machine]
    clients: tuple[str, ...]
    recorder: Recorder
    draws: Draws
    applied: list[Fault] = attrs.field(factory=list)
    gone: set[str] = attrs.field(factory=set)
    """Nodes that were asked to leave and are not wanted back, yet."""
    _undo: dict[int, _Undo] = attrs.field(factory=dict)
    has_ended: bool = False
    """Whether all faults are being ended just now."""
    _number: int = 0

    def apply(self, fault: Fault) -> None:
        """Do one fault now."""
        self.applied.append(fault)
        self.recorder.coverage[f"fault {fault.kind}"] += 1
        self.recorder.hashed("fault", fault.kind, sorted(fault.arguments.items()))
        getattr(self, f"_{fault.kind}")(**fault.arguments)

    def end_all(self) -> None:
        """End every fault that has not ended."""
        self.has_ended = True
        for number in list(self._undo):
            self._finish(number)
        self.has_ended = False

    def _lasting(self, duration_s: float, undo: _Undo) -> None:
        self._number = number = self._number + 1
        self._undo[number] = undo
        self.heap.after(duration_s, self._finish, number)

    def _finish(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            undo()

    # Network

    def _cut(self, sources: Iterable[str], targets: Iterable[str], duration_s: float) -> None:
        pairs = [(source, target) for source in sources for target in targets if source != target]
        self._cut_pairs(pairs, duration_s)

    def _split(self, side: list[str], duration_s: float) -> None:
        others = [name for name in self.machines if name not in side]
        pairs = [(here, there) for here in side for there in others]
        self._cut_pairs(pairs + [(there, here) for here, there in pairs], duration_s)

    def _isolate(self, node: str, duration_s: float) -> None:
        others = [name for name in (*self.machines, *self.clients) if name != node]
        pairs = [(node, other) for other in others]
        self._cut_pairs(pairs + [(there, here) for here, there in pairs], duration_s)

    def _cut_pairs(self, pairs: list[tuple[str, str]], duration_s: float) -> None:
        network = self.network
        for source, target in pairs:
            network.cut(source, target)

        def mend() -> None:
            for source, target in pairs:
                network.mend(source, target)

        self._lasting(duration_s, mend)

    def _rate(self, name: str, rate: float, duration_s: float) -> None:
        network = self.network

        def change(by: float) -> None:
            network.rates[name] = max(0.0, round(network.rates.get(name, 0.0) + by, 9))
            network.settle()

        change(rate)
        self._lasting(duration_s, lambda: change(-rate))

    def _loss(self, rate: float, duration_s: float) -> None:
        self._rate("loss", rate, duration_s)

    def _duplicate(self, rate: float, duration_s: float) -> None:
        self._rate("duplicate", rate, duration_s)

    def _reorder(self, rate: float, duration_s: float) -> None:
        self._rate("reorder", rate, duration_s)

    def _corrupt(self, rate: float, duration_s: float) -> None:
        self._rate("corrupt", rate, duration_s)

    def _delay(self, node: str, extra_s: float, duration_s: float) -> None:
        network = self.network

        def change(by: float) -> None:
            left = round(network.extra_s.get(node, 0.0) + by, 9)
            if left > 0:
                network.extra_s[node] = left
            else:
                network.extra_s.pop(node, None)
            network.settle()

        change(extra_s)
        self._lasting(duration_s, lambda: change(-extra_s))

    def _reset(self, first: str, second: str) -> None:
        self.network.reset(first, second)

    # Machines

    def _pause(self, node: str, duration_s: float) -> None:
        machine = self.machines[node]
        if not machine.paused:
            machine.pause()
            self._lasting(duration_s, machine.resume)

    def _slow(self, node: str, factor_s: float, duration_s: float) -> None:
        machine = self.machines[node]

        def change(by: float) -> None:
            machine.turn_s = max(0.0, round(machine.turn_s + by, 9))

        change(factor_s)
        self._lasting(duration_s, lambda: change(-factor_s))

    def _crash(self, node: str, down_s: float) -> None:
        machine = self.machines[node]
        if machine.process is not None:
            silent = self.draws.stream("silent", node, machine.lives).chance(_SILENT_SHARE)
            machine.crash(silent)
            self._lasting(down_s, machine.start)

    def _stop(self, node: str, within_s: float, down_s: float) -> None:
        machine = self.machines[node]
        if machine.process is not None and not machine.process.stopping:
            machine.stop(within_s)
            self._lasting(within_s + down_s, lambda: self._start_again(machine))

    def _start_again(self, machine: Machine) -> None:
        """Start once the process has ended; a paused one takes its time."""
        if machine.process is not None and machine.process.stopping:
            self.heap.after(0.5, self._start_again, machine)
        else:
            machine.start()

    def _wipe(self, nodes: list[str], apart_s: float, down_s: float) -> None:
        first, *others = nodes
        self._crash(first, down_s)
        if others:
            self._lasting(apart_s, lambda: None if self.has_ended else self._wipe(others, apart_s, down_s))

    def _standstill(self, nodes: list[str], duration_s: float) -> None:
        for node in nodes:
            self._pause(node, duration_s)

    def _blackout(self, duration_s: float) -> None:
        nodes = list(self.machines)
        self._cut(nodes, nodes, duration_s)

    # Places

    def _join(self, node: str) -> None:
        machine = self.machines.get(node)
        if machine is not None:
            self._start_as_owner(machine)

    def _start_as_owner(self, machine: Machine) -> None:
        """Start with the setting to take a place; what runs already is asked for it, once it has left."""
        if machine.name in self.gone and (machine.process is not None or self._is_leaving(machine.name)):
            machine.start()  # a crash came between: it goes on leaving first, whoever starts it
            if not self.has_ended:  # else it stays away: who comes back after the faults would disturb the rest
                self._when_ended(machine, 0.0)
            return
        self.gone.discard(machine.name)
        wants_place(machine)
        machine.start()
        command(machine, lambda running: running.ring.request_join())

    def _is_leaving(self, name: str) -> bool:
        """Tell whether some node still sees the leave under way."""
        entries = (
            each.node.members.table.entries.get(name) for each in self.machines.values() if each.node is not None
        )
        return any(entry is not None and entry.state in _LEAVING for entry in entries)

    def _leave(self, node: str, down_s: float) -> None:
        machine = self.machines[node]
        if node not in self.gone and command(machine, lambda running: running.ring.request_leave()):
            self.gone.add(node)
            self._when_ended(machine, down_s)

    def _when_ended(self, machine: Machine, down_s: float) -> None:
        """Start a leaver again once it has been gone for ``down_s``, or when all faults end if it is gone by then."""

        def again() -> None:
            if machine.process is not None:
                if self.has_ended:
                    return
                self._lasting(_OPERATOR_S, again)
            elif self.has_ended:
                self._start_as_owner(machine)
            else:
                self._lasting(down_s, lambda: self._start_as_owner(machine))

        self._lasting(_OPERATOR_S, again)

    def _remove(self, node: str, after_s: float, down_s: float) -> None:
        machine = self.machines[node]
        if machine.process is None:
            return
        life = machine.lives
        machine.crash(silent=False)
        self._lasting(down_s, lambda: self._start_as_owner(machine))
        self.heap.after(after_s, self._ask_to_remove, machine, life)

    def _ask_to_remove(self, machine: Machine, life: int) -> None:
        """Ask the others, one after the other and again, until one removes the dead one or it is back."""
        if machine.lives != life:
            return
        for other in self.machines.values():
            if other is not machine and command(other, lambda running: running.ring.request_remove(machine.name)):
                self.recorder.coverage["removal asked for"] += 1
                return
        self.heap.after(_OPERATOR_S, self._ask_to_remove, machine, life)

    def _repair_now(self, node: str) -> None:
        command(self.machines[node], lambda running: running.exchange.repair_now())

    # Clocks and limits

    def _clock_wrong(self, node: str, offset_ms: int, duration_s: float) -> None:
        self._clock_offset(node, offset_ms, duration_s)

    def _clock_offset(self, node: str, offset_ms: int, duration_s: float) -> None:
        clock = self.machines[node].clock
        before = clock.offset_ms
        clock.offset_ms = offset_ms

        def back() -> None:
            clock.offset_ms = before

        self.recorder.machine(node, "clock", offset_ms=offset_ms)
        self._lasting(duration_s, back)

    def _clock_drift(self, node: str, parts_per_million: float, duration_s: float) -> None:
        clock, heap = self.machines[node].clock, self.heap
        before = clock.drift_ppm
        clock.set_drift(heap.now_s, parts_per_million)
        self._lasting(duration_s, lambda: clock.set_drift(heap.now_s, before))

    def _memory(self, node: str, limit_bytes: int, duration_s: float) -> None:
        machine = self.machines[node]
        process = machine.process
        if process is None or process.node is None:
            return
        engine = process.node.engine
        before = machine.config.storage.limit_bytes
        empty_bytes = engine.usage().base_bytes + engine.partition_count * GHOST_SHARD_BYTES
        engine.set_limit(min(before, max(limit_bytes, empty_bytes + _ROOM_BYTES)))
        self._lasting(duration_s, lambda: engine.set_limit(before))
