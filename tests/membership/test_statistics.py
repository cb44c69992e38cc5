"""Statistics are copies: reading them neither disturbs nor follows the core."""

from dynacache.membership.datagram import Rejection
from dynacache.membership.effects import Note, NoteKind
from dynacache.membership.state import Member, NodeState
from dynacache.membership.statistics import Counters
from tests.membership.harness import Bench


def test_every_rejection_has_a_counter() -> None:
    assert set(Counters().rejections) == set(Rejection)


def test_gauges_count_the_states() -> None:
    bench = Bench()
    bench.hear_of(Member("a", "10.0.0.2", 7000, 1), Member("b", "10.0.0.3", 7000, 1))
    bench.hear_of(Member("b", "10.0.0.3", 7000, 1, state=NodeState.SUSPECT))
    statistics = bench.swim.statistics()
    assert (statistics.alive, statistics.suspect, statistics.dead, statistics.left) == (2, 1, 0, 0)
    assert statistics.suspicions_running == 1
    assert statistics.counters.datagrams_received == 2


def test_a_copy_does_not_follow() -> None:
    bench = Bench()
    before = bench.swim.statistics()
    effects = bench.swim.handle_datagram(bench.now_s, bench.wall_ms, b"?", ("10.9.9.9", 1))
    assert effects == [Note(NoteKind.PACKET_REJECTED, "10.9.9.9:1", "size")]
    assert before.counters.rejections[Rejection.SIZE] == 0
    assert bench.swim.statistics().counters.rejections[Rejection.SIZE] == 1
