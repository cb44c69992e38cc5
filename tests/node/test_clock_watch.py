"""Judging a clock: by the quickest answers, by majority, afresh after every jump."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.node.clock_watch import PEERS_PER_ROUND, ClockWatch, Trust
from dynacache.types import Instant

WALL_MS = 1_700_000_000_000
PEERS = ("a", "b")


def _at(now_s: float, offset_ms: float = 0) -> Instant:
    return Instant(now_s, int(WALL_MS + now_s * 1000 + offset_ms))


def _watch() -> ClockWatch:
    return ClockWatch.starting(500, _at(0.0))


def _round(
    watch: ClockWatch, now_s: float, ahead_ms: dict[str, float], trip_s: float = 0.01, own_ms: float = 0
) -> Trust:
    """Ask everybody, let each answer with a clock so far ahead of the true time, and judge."""
    watch.moved(_at(now_s, own_ms))
    peers = tuple(ahead_ms)
    for node_id, sequence in watch.questions(_at(now_s, own_ms), peers):
        shown_ms = int(WALL_MS + (now_s + trip_s / 2) * 1000 + ahead_ms[node_id])
        watch.answered(node_id, sequence, shown_ms, _at(now_s + trip_s, own_ms))
    return watch.judge(_at(now_s + trip_s, own_ms), peers)


def test_a_clock_that_agrees_is_safe() -> None:
    watch = _watch()
    assert [_round(watch, second, {"a": 100.0, "b": -300.0}) for second in range(1, 9)] == [Trust.SAFE] * 8
    assert sorted(round(ahead) for ahead, _ in watch.differences_ms(_at(9.0), PEERS).values()) == [-300, 100]


def test_one_wrong_peer_of_two_is_its_own_trouble() -> None:
    watch = _watch()
    assert _round(watch, 1, {"a": 0.0, "b": 60_000.0}) is Trust.SAFE
    assert watch.skewed(watch.differences_ms(_at(1.0), PEERS)) == ["b"]


def test_who_differs_from_more_than_half_is_wrong_until_it_agrees_again() -> None:
    watch = _watch()
    assert _round(watch, 1, {"a": -2_000.0, "b": -2_001.0, "c": 0.0}) is Trust.UNSAFE
    assert _round(watch, 2, {"a": -2_000.0, "b": -2_001.0, "c": 0.0}) is Trust.UNSAFE
    assert watch.agreed_ms(_at(2.0), ("a", "b", "c")) == _at(2.0).wall_ms - 2_000
    assert _round(watch, 3, {"a": 0.0, "b": 1.0, "c": 0.0}) is Trust.SAFE


def test_two_that_disagree_cannot_know_which_is_wrong() -> None:
    assert _round(_watch(), 1, {"a": 501.0 + 6}) is Trust.UNSAFE
    assert _round(_watch(), 1, {"a": 501.0}) is Trust.SAFE, "within the error of a round trip of 10 ms"


def test_a_slow_answer_proves_nothing() -> None:
    watch = _watch()
    assert _round(watch, 1, {"a": 900.0, "b": 900.0}, trip_s=1.0) is Trust.SAFE
    assert _round(watch, 5, {"a": 900.0, "b": 900.0}, trip_s=2.5) is Trust.SAFE, "too late to be taken"
    assert _round(watch, 9, {"a": 900.0, "b": 900.0}, trip_s=0.1) is Trust.UNSAFE


def test_a_jump_of_our_own_clock_shows_at_once_and_old_answers_do_not_judge_it() -> None:
    watch = _watch()
    _round(watch, 1, {"a": 0.0, "b": 0.0})
    assert watch.moved(_at(1.5, 3_600_000))
    assert watch.trust is Trust.UNSURE
    assert watch.judge(_at(1.5, 3_600_000), PEERS) is Trust.UNSURE
    assert _round(watch, 1.5, {"a": 0.0, "b": 0.0}, own_ms=3_600_000) is Trust.UNSAFE
    assert _round(watch, 2.6, {"a": 0.0, "b": 0.0}, own_ms=0) is Trust.SAFE


def test_machines_that_jump_together_go_on() -> None:
    watch = _watch()
    _round(watch, 1, {"a": 0.0, "b": 0.0})
    assert watch.moved(_at(1.5, 3_600_000))
    assert _round(watch, 1.5, {"a": 3_600_000.0, "b": 3_600_000.0}, own_ms=3_600_000) is Trust.SAFE


def test_without_answers_a_jump_is_believed_after_a_second() -> None:
    watch = _watch()
    watch.moved(_at(1.0, 60_000))
    assert watch.judge(_at(1.9, 60_000), PEERS) is Trust.UNSURE
    assert watch.judge(_at(2.0, 60_000), PEERS) is Trust.SAFE
    watch.moved(_at(3.0, 0))
    assert watch.judge(_at(3.0, 0), ()) is Trust.SAFE, "there is nobody to ask"


def test_a_jump_that_all_who_answered_contradict_is_not_believed_though_they_are_few() -> None:
    watch = _watch()
    peers = ("a", "b", "c", "d")
    _round(watch, 1, dict.fromkeys(peers, 0.0))
    jumped_ms = 60_000
    assert watch.moved(_at(1.5, jumped_ms))
    asked = dict(watch.questions(_at(1.5, jumped_ms), peers))
    watch.answered("a", asked["a"], _at(1.505).wall_ms, _at(1.51, jumped_ms))
    assert watch.judge(_at(2.4, jumped_ms), peers) is Trust.UNSURE, "the others may still answer"
    assert watch.judge(_at(2.5, jumped_ms), peers) is Trust.UNSAFE
    assert watch.judge(_at(9.0, jumped_ms), peers) is Trust.UNSAFE
    assert _round(watch, 9.5, dict.fromkeys(peers, 0.0)) is Trust.SAFE


def test_a_jump_that_half_of_the_few_who_answered_share_is_believed() -> None:
    watch = _watch()
    peers = ("a", "b", "c", "d")
    watch.moved(_at(1.5, 60_000))
    asked = dict(watch.questions(_at(1.5, 60_000), peers))
    watch.answered("a", asked["a"], _at(1.505).wall_ms, _at(1.51, 60_000))
    watch.answered("b", asked["b"], _at(1.505, 60_000).wall_ms, _at(1.51, 60_000))
    assert watch.judge(_at(2.5, 60_000), peers) is Trust.SAFE


def test_a_wrong_clock_without_peers_stays_wrong() -> None:
    watch = _watch()
    _round(watch, 1, {"a": 5_000.0, "b": 5_000.0})
    assert watch.judge(_at(100.0), ()) is Trust.UNSAFE


def test_a_peer_whose_clock_was_moved_is_seen_by_its_next_answer() -> None:
    watch = _watch()
    _round(watch, 1, {"a": 0.0}, trip_s=0.001)
    assert _round(watch, 2, {"a": 5_000.0}, trip_s=0.1) is Trust.UNSAFE, "though an older answer was quicker"


def test_an_answer_nobody_asked_for_is_dropped() -> None:
    watch = _watch()
    ((_, sequence),) = watch.questions(_at(1.0), ("a",))
    watch.answered("b", sequence, 0, _at(1.0))
    watch.answered("a", sequence, 0, _at(1.0))
    watch.answered("a", sequence + 5, 0, _at(1.0))
    assert watch.differences_ms(_at(1.0), PEERS) == {}, "the first to come with a number uses it up"


@given(st.integers(1, 40), st.integers(1, 60))
def test_a_large_cluster_is_asked_in_turn_and_everybody_in_time(peers: int, rounds: int) -> None:
    watch = _watch()
    names = [f"n{number:02}" for number in range(peers)]
    asked: list[str] = []
    for second in range(rounds):
        chosen = [node_id for node_id, _ in watch.questions(_at(second + 1.0), names)]
        assert len(chosen) == len(set(chosen)) == min(peers, PEERS_PER_ROUND)
        assert watch.questions(_at(second + 1.5), names) == []
        asked += chosen
    counts = [asked.count(name) for name in names]
    assert max(counts) - min(counts) <= 1
