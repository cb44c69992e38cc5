"""What leaves a node: encoded once for all destinations, counted by name, sent.

What: ``send_effects`` performs the messages and datagrams of one turn's effects; ``count_messages`` adds a batch to the
recorder's account of the present phase.

Invariant: as in the product's loop, a message that several connections share is encoded once, and stands behind the
connection's own messages in its frame. Messages between nodes are counted; what clients hear is counted in bytes alone.

Why counted here: repair must cost as much as there are differences (I11), and capacity is reckoned from messages.
"""

from collections.abc import Iterable
from typing import Any

from dynacache.events import Effects
from dynacache.wire import messages as wire
from dynacache.wire.codec import frame_of_messages, frame_of_packed, pack_message

from .connections import Connection, Connections
from .network import Address, Network
from .recorder import Recorder

__all__ = ["NAMES", "count_messages", "send_effects"]

NAMES = {
    getattr(wire, name): name
    for name in (
        *("WRITE", "WRITE_ACK", "READ", "READ_REPLY", "FORWARD", "FORWARD_REPLY"),
        *("STALE_TABLE", "TABLE", "MEMBERSHIP", "BIRTH", "FENCE", "FENCED", "PULL", "PAGE", "CLOCK", "CLOCKED"),
        *("COMPARE", "COMPARED", "ENTRIES", "DIFFERENCES", "RECORDS"),
        *("CATALOGUE", "CATALOGUE_TAKEN", "CATALOGUE_PULL", "CATALOGUE_PAGE", "TOUCHED"),
    )
}


def count_messages(recorder: Recorder, connection: Connection | None, messages: Iterable[Any]) -> None:
    """Count messages that leave for a peer."""
    if connection is None or connection.name == "client":
        return
    counts = recorder.messages
    for message in messages:
        counts[NAMES.get(message[0], "OTHER")] += 1


def send_effects(
    name: str, address: Address, connections: Connections, network: Network, recorder: Recorder, effects: Effects
) -> None:
    """Send what one turn of the node ``name`` at ``address`` has to say."""
    by_number, send = connections.by_number, network.send
    sends = effects.sends
    if effects.shared:
        chunks_of: dict[int, list[bytes]] = {}
        for numbers, message in effects.shared:
            packed = pack_message(message)
            for number in numbers:
                chunks = chunks_of.get(number)
                if chunks is None:
                    own = sends.pop(number, None) or ()
                    chunks = chunks_of[number] = [pack_message(each) for each in own]
                    count_messages(recorder, by_number.get(number), own)
                chunks.append(packed)
                count_messages(recorder, by_number.get(number), (message,))
        for number, chunks in chunks_of.items():
            connection = by_number.get(number)
            if connection is not None:
                data = frame_of_packed(chunks, len(chunks))
                recorder.wire_bytes[connection.name] += len(data)
                send(connection.end, data)
    for number, messages in sends.items():
        connection = by_number.get(number)
        if connection is not None:
            count_messages(recorder, connection, messages)
            data = frame_of_messages(messages)
            recorder.wire_bytes[connection.name] += len(data)
            send(connection.end, data)
    for payload, target in effects.datagrams:
        recorder.messages["DATAGRAM"] += 1
        recorder.wire_bytes["datagram"] += len(payload)
        network.datagram(name, address, payload, target)
