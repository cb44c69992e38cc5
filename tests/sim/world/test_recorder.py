"""The recorder: one order for all, a hash that sees every byte and moment, accounts by phase."""

from dynacache.events import Note
from sim.world.heap import Heap
from sim.world.recorder import Recorder


def test_numbers_grow() -> None:
    recorder = Recorder(Heap())
    first = recorder.next_sequence()
    assert recorder.stamp() == (first + 1, 100.0)


def test_the_hash_sees_time_receiver_kind_and_bytes() -> None:
    def digest(at_s: float, receiver: int, kind: int, data: bytes) -> str:
        recorder = Recorder(Heap(now_s=at_s))
        recorder.delivered(receiver, kind, 1, data)
        return recorder.digest()

    same = digest(100.0, 1, 1, b"x")
    assert same == digest(100.0, 1, 1, b"x")
    others = {
        digest(100.1, 1, 1, b"x"),
        digest(100.0, 2, 1, b"x"),
        digest(100.0, 1, 2, b"x"),
        digest(100.0, 1, 1, b"y"),
    }
    assert len(others | {same}) == 5


def test_a_change_of_mind_is_a_membership_event() -> None:
    recorder = Recorder(Heap())
    recorder.note("n1", Note("member.changed", {"node": "n2", "state": "dead", "stopped": False, "before": "alive"}))
    recorder.note("n1", Note("refuted", {}, "debug"))
    assert [(each.observer, each.subject, each.state) for each in recorder.membership] == [("n1", "n2", "dead")]
    assert [event for _, _, event, _ in recorder.notes] == ["member.changed"]
    assert recorder.coverage["note refuted"] == 1


def test_phases_have_accounts_of_their_own() -> None:
    recorder = Recorder(Heap())
    recorder.messages["WRITE"] += 2
    recorder.wire_bytes["peer"] += 100
    recorder.phase("safety")
    recorder.phase("drain")
    assert [(each.phase, each.messages, each.wire_bytes) for each in recorder.traffic] == [
        ("birth", {"WRITE": 2}, {"peer": 100}),
        ("safety", {}, {}),
    ]
