"""What the fuzzer throws bytes at, and what must never happen.

Each target takes bytes and may let nothing but an error of the tree out; the targets that end in a node also demand
that everything the node answers can be encoded, and that the node still answers a well-formed question afterwards.
Bytes are used in two ways: as they are, which tests framing and decoding, and as choices from which messages of known
kinds with odd fields are built, which gets past them.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgpack
from pyroaring import BitMap

from dynacache.config import Config, MembershipConfig
from dynacache.errors import DynacacheError
from dynacache.events import Connected, DatagramReceived, Effects, Input, Message, Received
from dynacache.membership.birth import Birth
from dynacache.membership.datagram import DatagramCodec
from dynacache.membership.messages import encode_claim, exchange_payload
from dynacache.membership.state import Member
from dynacache.node import Node
from dynacache.placement.birth_record import BirthRecord, Candidate
from dynacache.types import Instant, Role
from dynacache.wire import messages as wire
from dynacache.wire.codec import frame_of_messages, pack_message
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor, Initiator

__all__ = ["TARGETS", "Choices", "World", "run_one", "seeds"]

KINDS = sorted(
    value for name, value in vars(wire).items() if name in wire.__all__ and type(value) is int and value < 80
)
CLIENT, PEER, BULK, LINK = 1, 2, 3, 4
CONNECTED = (
    Connected(CLIENT, Role.CLIENT, None, outbound=False),
    Connected(PEER, Role.PEER, "peer", outbound=False),
    Connected(BULK, Role.BULK, "peer", outbound=False),
    Connected(LINK, Role.PEER, "peer", outbound=True),
)
RESET_AFTER = 500


class Choices:
    """Bytes read as a sequence of decisions; zeros when they run out."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, limit: int) -> int:
        """A number from 0 to limit - 1."""
        byte = self.data[self.at] if self.at < len(self.data) else 0
        self.at += 1
        return byte % limit

    def rest(self, count: int) -> bytes:
        """The next bytes, at most so many."""
        taken = self.data[self.at : self.at + count]
        self.at += count
        return taken

    @property
    def empty(self) -> bool:
        """Whether nothing is left to decide with."""
        return self.at >= len(self.data)

    def value(self, depth: int = 0) -> Any:
        """Any value that msgpack carries."""
        kind = self.number(15 if depth < 4 else 11)
        if kind < 3:
            return int.from_bytes(self.rest(kind * 2 + 1), "big")
        if kind < 11:
            simple = (None, True, False, 1.5, -1, "", 2**64 - 1, "text")
            return simple[kind - 3] if kind != 10 else self.rest(self.number(24))
        if kind == 11:
            return self.rest(1 + self.number(8))
        if kind == 12:
            return {
                self.value(5) if depth else str(self.number(9)): self.value(depth + 1) for _ in range(self.number(4))
            }
        return [self.value(depth + 1) for _ in range(self.number(5))]

    def message(self, samples: Sequence[Sequence[Any]]) -> list[Any]:
        """A message of any kind with any fields, or a well-formed one with some fields changed."""
        if self.number(3) == 0:
            return [KINDS[self.number(len(KINDS))], *(self.value() for _ in range(self.number(9)))]
        message = list(samples[self.number(len(samples))])
        for _ in range(self.number(3)):
            position = 1 + self.number(max(1, len(message) - 1))
            message[position:] = [self.value(), *message[position + 1 :]]
        return message[: 1 + len(message) - self.number(2)]


class World:
    """One node with a client, peers in both roles and a link of its own, kept over many inputs."""

    def __init__(self) -> None:
        now = Instant(1000.0, 1_700_000_000_000)
        self.now_s, self.inputs_run = now.monotonic_s, 0
        birth = Birth(node_id="node", incarnation=now.wall_ms << 16, host="127.0.0.1", port=7400, founders=1)
        birth.tick(now.monotonic_s)
        names = ("node", "peer", "third")
        founders = [Candidate(name, 1 + at, "127.0.0.1", 7400 + at, "", 1) for at, name in enumerate(names)]
        table = BirthRecord.of_candidates(founders, 1024, 3).first_table(founders)
        self.node = Node(Config(), "node", now.wall_ms << 16, birth, table, True, random.Random(1), now)
        self.samples = self._samples(table.to_wire())
        self.codec = DatagramCodec(MembershipConfig(), "peer", table.cluster_id)
        peer = Member("peer", "127.0.0.1", 7401, 2)
        self.claims = [list(msgpack.unpackb(encode_claim(peer, "peer"))), [1, 5, "node"], [2, 5], [3, 5, "peer"]]
        self.exchange = exchange_payload(table.cluster_id, [(peer, "peer")], is_answer=False)
        self.handle([], CONNECTED)

    def _samples(self, table: object) -> list[Message]:
        digest = self.node.shared.digest
        clock = 1_700_000_000_000 << 16
        return [
            [wire.GET, 1, b"key", 2, 100, 7, None],
            [wire.SET, 1, b"key", 0, b"value", 2, 100, 1000, 23, 0, None, bytes(16)],
            [wire.DELETE, 1, b"key", 1, 0, 1, 0, None, None],
            [wire.TOUCH, 1, b"key", 1000, 1, 0],
            [wire.INCREMENT, 1, b"count", 3, 1, 0, 0, None],
            [wire.REPORT, 1, "status"],
            [wire.REPORT, 1, "owners", b"key"],
            [wire.REPORT, 1, "explain", b"key"],
            [wire.REPORT, 1, "node"],
            [wire.COMMAND, 1, "repair", {"partitions": [1, 2]}],
            [wire.COMMAND, 1, "drain", {"node": "node", "undo": True}],
            [wire.COMMAND, 1, "remove", {"node": "peer"}],
            [wire.COMMAND, 1, "handoff_limit", {"bytes_per_s": 1000}],
            [wire.PING, 1],
            [wire.WRITE, 1, clock, digest, 100, None, [b"key", b"record"]],
            [wire.WRITE_ACK, 1, clock, [[0, 31]]],
            [wire.READ, 1, clock, digest, 100, [b"key", None]],
            [wire.READ_REPLY, 1, clock, [None, True, False, 5, b"record"]],
            [wire.FORWARD, clock, digest, 1, [[wire.GET, 1, b"key"]]],
            [wire.FORWARD_REPLY, clock, [[wire.DONE, 1, True]]],
            [wire.STALE_TABLE, 1, clock, table],
            [wire.TABLE, clock, table],
            [wire.MEMBERSHIP, [1, 2, 3]],
            [wire.BIRTH, {"kind": "asking"}],
            [wire.CATALOGUE, 1, clock, 1, 0, 1, [b"Ename", clock, b""]],
            [wire.CATALOGUE_TAKEN, 1, clock],
            [wire.CATALOGUE_PULL, 1, clock, 1, 0, 5],
            [wire.CATALOGUE_PAGE, 1, clock, 1, 1, 1, 5, [b"Ename", clock, b""]],
            [wire.TOUCHED, 0, clock, digest, [b"", BitMap([1, 1 << 31]).serialize()]],
        ]

    def handle(self, received: Sequence[Received], inputs: Sequence[Input] = (), later_s: float = 0.001) -> Effects:
        """One turn; whatever the node answers must be encodable."""
        self.now_s += later_s
        effects = self.node.handle(Instant(self.now_s, int(1_699_999_999_000 + self.now_s * 1000)), received, inputs)
        for messages in effects.sends.values():
            frame_of_messages(messages)
        for _, message in effects.shared:
            pack_message(message)
        assert all(type(payload) is bytes for payload, _ in effects.datagrams)
        return effects

    def still_serves(self) -> None:
        """A question on a fresh connection is answered."""
        fresh = 1_000_000 + self.inputs_run
        effects = self.handle([(fresh, [[wire.PING, 77]])], [Connected(fresh, Role.CLIENT, None, outbound=False)])
        assert [wire.PONG, 77] in [list(message) for message in effects.sends.get(fresh, ())]


_world = World()


def world() -> World:
    """The node that inputs share; a new one now and then, so that a failing input is not far from the beginning."""
    global _world
    _world.inputs_run += 1
    if _world.inputs_run > RESET_AFTER:
        _world = World()
    return _world


def framing(data: bytes) -> None:
    """Raw bytes into the reader of frames, in two pieces."""
    reader = FrameReader(4096)
    reader.feed(data[: len(data) // 2])
    reader.feed(data[len(data) // 2 :])


def hello(data: bytes) -> None:
    """Messages into either end of the hello."""
    choices = Choices(data)
    secret = "secret" if choices.number(2) else None
    ends: list[Acceptor | Initiator] = [
        Acceptor(b"c" * 16, "node", secret, b"1" * 32),
        Initiator(Role.PEER, b"c" * 16, "node", secret, b"1" * 32),
    ]
    samples: list[Message] = [
        Initiator(Role.PEER, b"", "peer", None, b"2" * 32).first(),
        [wire.WELCOME, 1, b"c" * 16, "peer", b"2" * 32, b""],
        [wire.PROOF, b""],
        [wire.ERROR, 0, 73, "no"],
    ]
    end = ends[choices.number(2)]
    while not choices.empty and not end.done:
        end.receive(choices.message(samples))


def node_bytes(data: bytes) -> None:
    """Raw frames to the node, on any of its connections."""
    connection = 1 + Choices(data).number(4)
    messages = FrameReader().feed(data[1:])
    world().handle([(connection, messages)])


def node_messages(data: bytes) -> None:
    """Messages of known kinds to the node, then time."""
    choices, here = Choices(data), world()
    while not choices.empty:
        connection = 1 + choices.number(4)
        messages = [choices.message(here.samples) for _ in range(1 + choices.number(3))]
        received = FrameReader().feed(frame_of_messages(messages))
        here.handle([(connection, received)], later_s=choices.number(8) / 10)
    here.handle([], later_s=5.0)
    here.still_serves()


def node_datagrams(data: bytes) -> None:
    """Raw datagrams to the node."""
    here = world()
    here.handle([], [DatagramReceived(data, ("127.0.0.1", 9))])


def signed_datagrams(data: bytes) -> None:
    """Datagrams that pass every check of origin and hold odd messages."""
    choices, here = Choices(data), world()
    while not choices.empty:
        packed = [pack_message(choices.message(here.claims)) for _ in range(1 + choices.number(4))]
        if sum(map(len, packed)) < 1000:
            payload = here.codec.encode(packed, int(1_699_999_999_000 + here.now_s * 1000))
            here.handle([], [DatagramReceived(payload, ("127.0.0.1", 7401))], later_s=choices.number(8) / 4)
    here.handle([], later_s=3.0)
    here.still_serves()


def membership_streams(data: bytes) -> None:
    """Messages of the membership protocol that come over a link."""
    choices, here = Choices(data), world()
    while not choices.empty:
        payload = choices.message([here.exchange, *here.claims])
        received = FrameReader().feed(frame_of_messages([[wire.MEMBERSHIP, payload]]))
        here.handle([(PEER, received)], later_s=choices.number(8) / 4)
    here.still_serves()


def birth_messages(data: bytes) -> None:
    """Anything into the birth machine."""
    birth = Birth(node_id="a", incarnation=1, host="127.0.0.1", port=1, founders=2, seeds=(("127.0.0.1", 2),))
    birth.tick(1.0)
    try:
        message = msgpack.unpackb(data, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        message = Choices(data).value()
    pack_message(birth.handle_request(1.0, message))
    birth.handle_reply(1.1, ("127.0.0.1", 2), message)


TARGETS: tuple[Callable[[bytes], None], ...] = (
    framing,
    hello,
    node_bytes,
    node_messages,
    node_datagrams,
    birth_messages,
    signed_datagrams,
    membership_streams,
)


def run_one(data: bytes) -> None:
    """The first byte picks the target, the rest is its input."""
    if data:
        with suppress(DynacacheError):
            TARGETS[data[0] % len(TARGETS)](data[1:])


def seeds() -> list[bytes]:
    """Inputs to start from: well-formed traffic for every target."""
    samples = World().samples
    found = [bytes((0,)) + frame_of_messages([message]) for message in samples]
    found += [bytes((2, connection)) + frame_of_messages([message]) for connection in range(4) for message in samples]
    found += [bytes((target, *range(40))) for target in (1, 3, 5, 6, 7)]
    found += [bytes((4,)) + b"dg\x01\x01" + bytes(40)]
    return found
