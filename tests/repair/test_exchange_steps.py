"""Running exchanges: one question at a time, at the pace allowed, ended once."""

import pytest

from dynacache.repair.exchange_steps import Ask, GaveUp, Pause, Runner, Steps
from dynacache.wire.messages import COMPARE, COMPARED
from tests.repair.exchange_world import World


class _Story:
    """What a scripted exchange saw."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.ends: list[bool] = []
        self.closed = 0

    def ended(self, finished: bool) -> None:
        self.ends.append(finished)

    def steps(self, *script: Ask | Pause | Exception) -> Steps[None]:
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                self.seen.append((yield step))
        finally:
            self.closed += 1


def _world() -> tuple[World, Runner, list[object]]:
    world = World(("a", "b"))
    asked: list[object] = []
    world.ask = lambda owner, to, kind, fields, waiter, timeout_ms: asked.append((to, kind, fields, waiter))  # type: ignore[method-assign]
    return world, Runner(world.owners["a"].exchange.ground), asked


def test_questions_and_answers_take_turns() -> None:
    _, runner, asked = _world()
    story = _Story()
    runner.start("b", story.steps(Ask(COMPARE, (1,)), Ask(COMPARE, (2,))), story.ended)
    assert [each[1:3] for each in asked] == [(COMPARE, (runner.ground.port.digest, 1))]  # type: ignore[index]
    assert runner.is_running("b")
    assert runner.next_due_s() == float("inf")
    asked[0][3].answered([COMPARED, 1])  # type: ignore[index]
    assert len(asked) == 2
    asked[1][3].answered([COMPARED, 2])  # type: ignore[index]
    assert story.seen == [[COMPARED, 1], [COMPARED, 2]]
    assert story.ends == [True]
    assert not runner.is_running("b")
    assert runner.ground.counters.bytes_sent > 0
    assert runner.ground.counters.bytes_received > 0


def test_a_pause_lasts_as_long_as_asked() -> None:
    world, runner, _ = _world()
    story = _Story()
    runner.start("b", story.steps(Pause(1.0)), story.ended)
    assert runner.next_due_s() == world.now_s + 1.0
    runner.tick()
    assert story.ends == []
    world.now_s += 1.0
    runner.tick()
    assert story.ends == [True]


def test_silence_ends_it_and_a_late_answer_is_nobodys() -> None:
    _, runner, asked = _world()
    story = _Story()
    runner.start("b", story.steps(Ask(COMPARE, ()), Ask(COMPARE, ())), story.ended)
    asked[0][3].failed()  # type: ignore[index]
    assert (story.ends, story.closed) == ([False], 1)
    asked[0][3].answered([COMPARED])  # type: ignore[index]
    asked[0][3].failed()  # type: ignore[index]
    assert (story.ends, len(asked)) == ([False], 1)


def test_giving_up_is_quiet_and_a_malformed_answer_is_not() -> None:
    _, runner, asked = _world()
    story = _Story()
    runner.start("b", story.steps(GaveUp()), story.ended)
    assert story.ends == [False]
    runner.start("b", story.steps(Ask(COMPARE, ()), ValueError("nonsense")), story.ended)
    with pytest.raises(ValueError, match="nonsense"):
        asked[0][3].answered([COMPARED])  # type: ignore[index]
    assert story.ends == [False, False]
    assert not runner.running


def test_a_question_waits_for_the_rate() -> None:
    world, runner, asked = _world()
    story = _Story()
    runner.ground.pace.moved(3 * runner.ground.pace.bytes_per_s, world.now_s)
    runner.start("b", story.steps(Ask(COMPARE, ())), story.ended)
    assert not asked
    assert runner.next_due_s() == pytest.approx(world.now_s + 2.0)
    world.now_s += 2.1
    runner.tick()
    assert len(asked) == 1


def test_everything_ends_when_owners_change() -> None:
    _, runner, _ = _world()
    story = _Story()
    for name in "bc":
        runner.start(name, story.steps(Ask(COMPARE, ())), story.ended)
    runner.stop_all()
    assert story.ends == [False, False]
    assert story.closed == 2
