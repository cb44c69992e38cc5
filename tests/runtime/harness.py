"""A data loop with a scripted core, on real loopback sockets, and a small blocking-free client for it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from dynacache.config import NetworkConfig
from dynacache.events import Effects, Input, Message, Received, Writable
from dynacache.runtime.data_loop import DataLoop, Other
from dynacache.runtime.entropy import draw_nonce, monotonic_now
from dynacache.runtime.listener import bind
from dynacache.runtime.transport import Transport
from dynacache.types import Instant, Role
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor, Initiator
from dynacache.wire.messages import DONE

CLUSTER = b"c" * 16
WAKE = Writable(0)
"""An input that means nothing to a scripted core, for a turn of the loop."""


@attrs.define(eq=False)
class ScriptedCore:
    """Answers every message with DONE unless told otherwise, and remembers what it was told."""

    answer: Callable[[Message], list[Message]] = lambda message: [[DONE, message[1], True]]
    received: list[tuple[int, list[Message]]] = attrs.field(factory=list)
    inputs: list[Input] = attrs.field(factory=list)
    turns: list[Instant] = attrs.field(factory=list)
    deadline_s: float = float("inf")
    next_effects: list[Effects] = attrs.field(factory=list)

    def handle(self, now: Instant, received: Sequence[Received], inputs: Sequence[Input] = ()) -> Effects:
        self.turns.append(now)
        self.received += received
        self.inputs += inputs
        if now.monotonic_s >= self.deadline_s:
            self.deadline_s = float("inf")
        effects = self.next_effects.pop(0) if self.next_effects else Effects()
        for connection, messages in received:
            for message in messages:
                for reply in self.answer(message):
                    effects.send(connection, reply)
        return effects

    def next_deadline(self) -> float:
        return self.deadline_s

    def inputs_of(self, kind: type) -> list[Any]:
        """The inputs of one type, in order."""
        return [item for item in self.inputs if isinstance(item, kind)]


@attrs.define(eq=False)
class Bench:
    """A running loop and what it was told and told others."""

    loop: DataLoop
    core: ScriptedCore
    address: tuple[str, int]
    performed: list[Other] = attrs.field(factory=list)

    async def until(self, condition: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Let the loop run until something holds."""
        with trio.fail_after(timeout_s):
            while True:
                if condition():
                    return
                await trio.sleep(0.005)

    def do(self, effects: Effects) -> None:
        """Have the core ask for these effects in the next turn."""
        self.core.next_effects.append(effects)
        self.core.deadline_s = 0.0
        self.loop.add_input(WAKE)


@asynccontextmanager
async def running_loop(
    network: NetworkConfig | None = None,
    secret: str | None = None,
    core: ScriptedCore | None = None,
    linger_s: float = 0.0,
) -> AsyncIterator[Bench]:
    """Run a loop on a free port for as long as the block lasts."""
    network = network or NetworkConfig(port=0)
    core = core or ScriptedCore()
    listener, gossip = bind(network.host, 0)
    performed: list[Other] = []
    transport = Transport(network, lambda: Acceptor(CLUSTER, "node", secret, draw_nonce()), performed.append)
    loop = DataLoop(network, core, transport, performed.append, listener, gossip, linger_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.run)
        yield Bench(loop, core, listener.address, performed)
        loop.finish(monotonic_now())


@attrs.define(eq=False)
class Caller:
    """The other end of one connection."""

    stream: trio.SocketStream
    hello: Initiator
    reader: FrameReader = attrs.field(factory=FrameReader)
    backlog: list[Message] = attrs.field(factory=list)

    async def send(self, *messages: Message) -> None:
        """Send one frame."""
        await self.stream.send_all(frame_of_messages(messages))

    async def receive(self, count: int = 1, timeout_s: float = 5.0) -> list[Message]:
        """Return the next messages; fewer if the other end closes."""
        with trio.fail_after(timeout_s):
            while len(self.backlog) < count:
                data = await self.stream.receive_some()
                if not data:
                    break
                self.backlog += self.reader.feed(bytes(data))
        messages, self.backlog = self.backlog[:count], self.backlog[count:]
        return messages

    async def closed(self, timeout_s: float = 5.0) -> bool:
        """Wait until the other end closes; say whether it did."""
        with trio.move_on_after(timeout_s):
            try:
                while await self.stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
            return True
        return False

    async def greet(self) -> None:
        """Do the hello."""
        await self.send(self.hello.first())
        (welcome,) = await self.receive()
        await self.send(*self.hello.receive(welcome))


@asynccontextmanager
async def calling(
    bench: Bench, role: Role = Role.CLIENT, node_id: str = "", secret: str | None = None, greet: bool = True
) -> AsyncIterator[Caller]:
    """Connect to the loop and do the hello."""
    name = node_id if role is Role.CLIENT or node_id else "peer"
    async with await trio.open_tcp_stream(*bench.address) as stream:
        caller = Caller(stream, Initiator(role, b"", name, secret, draw_nonce()))
        if greet:
            await caller.greet()
        yield caller
