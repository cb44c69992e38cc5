"""One question to one node over a connection of its own: connect, hello, ask, take the answer, close.

What: the start of a node asks seeds for their birth record this way, and `ready` asks a node for its state. Everything
that lasts uses the data loop instead.

Invariant: an exchange ends with one message or one error of the tree, and its socket is closed either way. The caller
sets the deadline, with one of Trio's timeouts.
"""

import os

import trio

from dynacache.errors import ConnectionLost, DynacacheError, ProtocolError, error_from_code
from dynacache.events import Address, Message
from dynacache.wire.codec import frame_of_messages
from dynacache.wire.framing import FrameReader
from dynacache.wire.handshake import Initiator
from dynacache.wire.messages import ERROR

__all__ = ["ask", "dial"]

_RECEIVE_BYTES = 65_536


async def dial(address: Address) -> trio.SocketStream:
    """Connect; raises ConnectionLost with the reason in words."""
    host, port = address
    try:
        return await trio.open_tcp_stream(host, port)
    except (OSError, UnicodeError) as error:
        raise ConnectionLost(f"cannot connect to {host}:{port}: {_reason(error)}") from error


async def ask(address: Address, hello: Initiator, question: Message, answer_kind: int) -> Message:
    """Return the first message of ``answer_kind`` that the node at ``address`` sends after ``question``.

    Raises the error that the node answers, the error its hello fails with, or ConnectionLost.
    """
    async with await dial(address) as stream:
        try:
            return await _converse(stream, hello, question, answer_kind)
        except trio.BrokenResourceError as error:
            raise ConnectionLost(f"{address[0]}:{address[1]} closed the connection") from error


async def _converse(stream: trio.SocketStream, hello: Initiator, question: Message, answer_kind: int) -> Message:
    await stream.send_all(frame_of_messages([hello.first()]))
    reader = FrameReader()
    while True:
        data = await stream.receive_some(_RECEIVE_BYTES)
        if not data:
            raise ConnectionLost("the other end closed the connection without an answer")
        for message in reader.feed(bytes(data)):
            if not hello.done:
                await stream.send_all(frame_of_messages(hello.receive(message)) + frame_of_messages([question]))
            elif message[0] == answer_kind:
                return message
            elif message[0] == ERROR:
                raise _error_of(message)


def _error_of(message: Message) -> DynacacheError:
    if len(message) < 4 or type(message[2]) is not int or type(message[3]) is not str:
        return ProtocolError("a malformed ERROR: expected a request id, a code and a text")
    return error_from_code(message[2], message[3])


def _reason(error: OSError | UnicodeError) -> str:
    """The plain reason; Trio wraps what each address of a name said in a group, and repeats the address."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    for each in (cause, error):
        if isinstance(each, OSError) and each.errno is not None and each.errno > 0:
            return os.strerror(each.errno)
    return str(error)
