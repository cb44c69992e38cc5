"""Counting messages between nodes, and nothing else."""

from typing import Any

from dynacache.wire.framing import FrameReader
from dynacache.wire.messages import VALUE, WRITE
from sim.world.connections import Connection
from sim.world.heap import Heap
from sim.world.recorder import Recorder
from sim.world.traffic import count_messages


def test_messages_are_counted_by_name_unless_a_client_gets_them() -> None:
    recorder = Recorder(Heap())
    end: Any = None
    for name in ("peer", "client"):
        connection = Connection(1, end, None, True, None, FrameReader(), name=name)
        count_messages(recorder, connection, [[WRITE, 1], [WRITE, 2], [VALUE, 3]])
    count_messages(recorder, None, [[WRITE, 1]])
    assert recorder.messages == {"WRITE": 2, "OTHER": 1}
