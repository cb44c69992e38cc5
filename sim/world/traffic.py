"""Counting what nodes say to each other, by the name of the message.

What: ``count_messages`` adds a batch to the recorder's account of the present phase.

Invariant: messages between nodes only; what clients ask and hear is counted in bytes alone.

Why: repair must cost as much as there are differences (I11), and capacity is reckoned from messages per operation.
"""

from collections.abc import Iterable
from typing import Any

from dynacache.wire import messages as wire

from .connections import Connection
from .recorder import Recorder

__all__ = ["NAMES", "count_messages"]

NAMES = {
    getattr(wire, name): name
    for name in (
        *("WRITE", "WRITE_ACK", "READ", "READ_REPLY", "FORWARD", "FORWARD_REPLY"),
        *("STALE_TABLE", "TABLE", "MEMBERSHIP", "BIRTH"),
    )
}


def count_messages(recorder: Recorder, connection: Connection | None, messages: Iterable[Any]) -> None:
    """Count messages that leave for a peer."""
    if connection is None or connection.name == "client":
        return
    counts = recorder.messages
    for message in messages:
        counts[NAMES.get(message[0], "OTHER")] += 1
