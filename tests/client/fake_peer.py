"""The other end of a sans-IO connection: decodes what the client sends and answers on demand, without a socket."""

from typing import Any

import attrs

from dynacache.client.protocol import ClientProtocol
from dynacache.types import Role
from dynacache.wire.codec import Message, frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Acceptor, Initiator


@attrs.define
class FakePeer:
    """A client's protocol and the scripted node it talks to."""

    protocol: ClientProtocol
    acceptor: Acceptor
    reader: FrameReader = attrs.field(factory=FrameReader)
    now_s: float = 0.0

    @classmethod
    def pair(cls, *, secret: str | None = None, node_secret: str | None = None, **limits: Any) -> "FakePeer":
        """A client and a node that have said nothing yet."""
        initiator = Initiator(Role.CLIENT, b"", "", secret, b"i" * 32)
        return cls(ClientProtocol(initiator, **limits), Acceptor(b"c" * 16, "n1", node_secret, b"a" * 32))

    @classmethod
    def greeted(cls, **limits: Any) -> "FakePeer":
        """A client and a node after their hello."""
        peer = cls.pair(**limits)
        peer.greet()
        return peer

    def greet(self) -> None:
        """Exchange the hello."""
        while not self.acceptor.done:
            for message in self.reader.feed(self.protocol.data_to_send(self.now_s)):
                answer = self.acceptor.receive(message)
                if answer:
                    self.protocol.receive(frame_of_messages(answer), self.now_s)

    def requests(self) -> list[Message]:
        """What the client sends now."""
        return self.reader.feed(self.protocol.data_to_send(self.now_s))

    def answer(self, *replies: Message) -> list[tuple[object, Message]]:
        """Send replies to the client; return what it makes of them."""
        return self.protocol.receive(frame_of_messages(replies), self.now_s)
