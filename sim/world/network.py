"""The network: streams that stay in order, datagrams that promise nothing, and everything that can befall them.

What: hosts are named; each has a handler. ``dial`` makes a stream of two ``End`` s; ``send`` moves bytes from one end
to the other; ``datagram`` moves one packet. Directed pairs of hosts may be cut; rates of loss, duplication,
reordering and corruption, and extra delays of hosts, may be raised for a while.

Invariant: what is sent on a stream arrives whole and in order, or the stream ends; a cut holds it back, as a
retransmission does, and breaks the stream when that has lasted ``UNACKNOWLEDGED_LIMIT_S``. A datagram is lost, late,
early, doubled or changed in a bit as drawn. Each direction draws from streams of its own (see ``draws``).

Corruption on a stream hits the header of a frame, never a payload: TCP's own checksum makes a silent change of content
a matter that no cache protects from, while a peer that talks nonsense must do no harm.
"""

from collections.abc import Callable
from math import log
from typing import Any, Protocol

import attrs

from ..draws import Draws, Stream
from .heap import Heap

__all__ = ["CONNECT_TIMEOUT_S", "UNACKNOWLEDGED_LIMIT_S", "Address", "End", "Host", "Network"]

Address = tuple[str, int]

CONNECT_TIMEOUT_S = 3.0
UNACKNOWLEDGED_LIMIT_S = 30.0
"""How long a stream waits for what it has sent to arrive; the product sets the same on its sockets."""
_RETRANSMIT_S = 0.2
_REORDER_S = 0.05
_DUPLICATE_S = 5.0


class Host(Protocol):
    """Whoever stands at a network address."""

    name: str

    def accept(self, end: "End") -> bool:
        """Take a stream that somebody dialled; False refuses it."""
        ...

    def arrived(self, end: "End", data: bytes | None) -> None:
        """Take bytes of a stream; None when the other end is gone."""
        ...

    def datagram(self, payload: bytes, address: Address) -> None:
        """Take a datagram."""
        ...

    def blocked(self, end: "End", blocked: bool) -> None:
        """Hear that a stream's unsent bytes passed the high-water mark, or drained."""
        ...


@attrs.define(eq=False, repr=False)
class End:
    """One end of a stream, as its host holds it. ``state`` is the host's own."""

    host: Host
    delays: Stream
    other: "End | None" = None
    open: bool = True
    taken: bool = False
    """Its host knows of it; what comes before that can only be the end."""
    number: int = 0
    state: Any = None
    last_arrival_s: float = 0.0
    held: list[bytes | None] = attrs.field(factory=list)
    """What a cut keeps back; None is the end of the stream."""
    held_bytes: int = 0
    is_blocked: bool = False
    high_water_bytes: int = 32 * 1024 * 1024


@attrs.define(eq=False, repr=False)
class Network:
    """All hosts, streams and datagrams of one world."""

    heap: Heap
    draws: Draws
    delay_minimum_s: float
    delay_mean_s: float
    rates: dict[str, float] = attrs.field(factory=dict)
    """loss, duplicate, reorder, corrupt: the rates in force."""
    hosts: dict[Address, Host] = attrs.field(factory=dict)
    cuts: dict[tuple[str, str], int] = attrs.field(factory=dict)
    """(source, target) to the number of reasons why nothing gets through."""
    extra_s: dict[str, float] = attrs.field(factory=dict)
    """Extra delay of all that a host sends or is sent."""
    silent: set[str] = attrs.field(factory=set)
    """Hosts that are gone without a word: nothing answers there, not even a refusal."""
    lost: int = 0
    calm: bool = True
    """No loss or corruption of streams, no cut, no extra delay: the short way."""
    _ends: dict[str, dict[End, None]] = attrs.field(factory=dict)
    _dials: dict[tuple[str, str, str], int] = attrs.field(factory=dict)
    _packets: dict[tuple[str, str], Stream] = attrs.field(factory=dict)

    # Streams

    def dial(self, source: Host, address: Address, label: str, established: Callable[[End | None], None]) -> None:
        """Open a stream to an address; ``established`` is called once, with this side's end or None."""
        target = self.hosts.get(address)
        there = target.name if target else address[0]
        number = self._dials[source.name, there, label] = self._dials.get((source.name, there, label), 0) + 1
        delays = self.draws.stream("stream", source.name, there, label, number)
        if target is None or (source.name, there) in self.cuts or there in self.silent:
            self.heap.after(CONNECT_TIMEOUT_S, established, None)
            return
        back = self.draws.stream("stream back", source.name, there, label, number)
        mine, theirs = End(source, delays), End(target, back)
        mine.other, theirs.other = theirs, mine
        self.heap.after(self._delay(delays, source.name, there), self._reached, mine, theirs, established)

    def _reached(self, mine: End, theirs: End, established: Callable[[End | None], None]) -> None:
        source, target = mine.host.name, theirs.host.name
        if (target, source) in self.cuts or target in self.silent:
            self.heap.after(CONNECT_TIMEOUT_S, established, None)
            return
        delay_s = self._delay(theirs.delays, target, source)
        theirs.taken = True
        if theirs.host.accept(theirs):
            self._ends.setdefault(target, {})[theirs] = None
            self._ends.setdefault(source, {})[mine] = None
            self.heap.after(delay_s, self._established, mine, established)
        else:
            self.heap.after(delay_s, established, None)

    def _established(self, mine: End, established: Callable[[End | None], None]) -> None:
        if mine.open:
            mine.taken = True
            established(mine)
        else:
            established(None)

    def send(self, end: End, data: bytes | None) -> None:
        """Send bytes, or the end of the stream (None), to the other end."""
        heap = self.heap
        if self.calm:
            uniform = end.delays.uniform()
            arrival_s = heap.now_s + self.delay_minimum_s - log(1.0 - uniform) * self.delay_mean_s
        else:
            other = end.other
            assert other is not None
            source, target = end.host.name, other.host.name
            if end.held or (source, target) in self.cuts:
                self._hold(end, data)
                return
            arrival_s = heap.now_s + self._delay(end.delays, source, target)
            if end.delays.chance(self.rates.get("loss", 0.0)):
                arrival_s += _RETRANSMIT_S * (1 + end.delays.integer(0, 2))
            if data and end.delays.chance(self.rates.get("corrupt", 0.0)):
                data = _garble_header(data, end.delays)
        if arrival_s < end.last_arrival_s:
            arrival_s = end.last_arrival_s
        end.last_arrival_s = arrival_s
        heap.at(arrival_s, self._arrive, end.other, data)

    def _arrive(self, end: End, data: bytes | None) -> None:
        if end.open and end.taken:
            end.host.arrived(end, data)
        elif data is None:
            self._forget(end)

    def close(self, end: End) -> None:
        """Close this end; the other one hears of it after everything that was sent."""
        if not end.open:
            return
        self._forget(end)
        self.send(end, None)

    def abandon(self, host: Host, silent: bool = False) -> list[End]:
        """The host is gone without a word: its ends are closed and the others are not told. Returns the others.

        ``silent``: its kernel is gone too, and with it what a cut has kept back.
        """
        others = []
        for end in list(self._ends.get(host.name, ())):
            self._forget(end)
            if silent:
                end.held.clear()
                end.held_bytes = 0
            if end.other is not None and end.other.open:
                others.append(end.other)
        return others

    def reset(self, first: str, second: str) -> None:
        """Break every stream between two hosts now; what was under way is lost."""
        for end in list(self._ends.get(first, ())):
            if end.open and end.other is not None and end.other.host.name == second:
                self.break_stream(end)

    def break_stream(self, end: End) -> None:
        """Both ends learn at once that the stream is no more."""
        for each in (end, end.other):
            if each is not None and each.open:
                self.heap.at(self.heap.now_s, self._arrive, each, None)

    def _forget(self, end: End) -> None:
        end.open = False
        self._ends.get(end.host.name, {}).pop(end, None)

    # Cuts

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from one host to another, for one more reason."""
        self.cuts[source, target] = self.cuts.get((source, target), 0) + 1
        self.settle()

    def mend(self, source: str, target: str) -> None:
        """Take one reason back; with the last one, what was held goes on its way."""
        left = self.cuts[source, target] - 1
        if left:
            self.cuts[source, target] = left
            return
        del self.cuts[source, target]
        self.settle()
        for end in list(self._ends.get(source, ())):
            if end.held and end.other is not None and end.other.host.name == target:
                self._release(end)
        for each in list(self._ends.get(target, ())):
            # Ends that were closed behind the cut still owe the word of it.
            other = each.other
            if other is not None and not other.open and other.held and other.host.name == source:
                self._release(other)

    def settle(self) -> None:
        """Look again whether the short way will do."""
        streams = self.rates.get("loss", 0.0) or self.rates.get("corrupt", 0.0)
        self.calm = not (self.cuts or streams or self.extra_s)

    def _hold(self, end: End, data: bytes | None) -> None:
        if not end.held:
            self.heap.after(UNACKNOWLEDGED_LIMIT_S, self._give_up, end, end.last_arrival_s)
        end.held.append(data)
        end.held_bytes += len(data or b"")
        if not end.is_blocked and end.held_bytes > end.high_water_bytes and end.open:
            end.is_blocked = True
            end.host.blocked(end, True)

    def _release(self, end: End) -> None:
        held, end.held, end.held_bytes = end.held, [], 0
        for data in held:
            self.send(end, data)
        if end.is_blocked and not end.held and end.open:
            end.is_blocked = False
            end.host.blocked(end, False)

    def _give_up(self, end: End, since_s: float) -> None:
        if end.held and end.last_arrival_s == since_s:
            end.held.clear()
            end.held_bytes = 0
            self.break_stream(end)

    # Datagrams

    def datagram(self, source: str, sender: Address, payload: bytes, address: Address) -> None:
        """Send one packet; it may be lost."""
        target = self.hosts.get(address)
        if target is None:
            return
        there = target.name
        stream = self._packets.get((source, there))
        if stream is None:
            stream = self._packets[source, there] = self.draws.stream("datagram", source, there)
        rates = self.rates
        if (source, there) in self.cuts or stream.chance(rates.get("loss", 0.0)):
            self.lost += 1
            return
        delay_s = self._delay(stream, source, there)
        if stream.chance(rates.get("reorder", 0.0)):
            delay_s += stream.uniform(0.0, _REORDER_S)
        if stream.chance(rates.get("duplicate", 0.0)):
            self.heap.after(delay_s + stream.uniform(0.0, _DUPLICATE_S), target.datagram, payload, sender)
        if stream.chance(rates.get("corrupt", 0.0)):
            payload = _flip_bit(payload, stream)
        self.heap.after(delay_s, target.datagram, payload, sender)

    def _delay(self, draws: Stream, source: str, target: str) -> float:
        delay_s = self.delay_minimum_s - log(1.0 - draws.uniform()) * self.delay_mean_s
        if self.extra_s:
            delay_s += self.extra_s.get(source, 0.0) + self.extra_s.get(target, 0.0)
        return delay_s


def _flip_bit(data: bytes, draws: Stream) -> bytes:
    position = draws.integer(0, len(data) - 1)
    changed = bytearray(data)
    changed[position] ^= 1 << draws.integer(0, 7)
    return bytes(changed)


def _garble_header(data: bytes, draws: Stream) -> bytes:
    changed = bytearray(data)
    changed[draws.integer(0, min(4, len(data) - 1))] ^= 1 << draws.integer(0, 7)
    return bytes(changed)
