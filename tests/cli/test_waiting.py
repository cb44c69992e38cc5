"""Watching: each new sentence once, interrupts leave things going on, silence is waited for but not for ever."""

from collections.abc import Callable, Iterator

import pytest

from dynacache.cli.waiting import LOOK_INTERVAL_S, SILENCE_LIMIT_S, Look, pausing, watch
from dynacache.errors import InvalidRequest, UnavailableError


@pytest.fixture
def paused() -> Iterator[list[float]]:
    """The pauses that were made."""
    pauses: list[float] = []
    token = pausing.set(pauses.append)
    yield pauses
    pausing.reset(token)


def looks(*found: Look | BaseException) -> Callable[[], Look]:
    """Looks that find these, one after the other."""
    left = iter(found)

    def look() -> Look:
        each = next(left)
        if isinstance(each, BaseException):
            raise each
        return each

    return look


def test_a_sentence_is_told_when_it_is_new(paused: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    found = watch(looks(Look(False, "a"), Look(False, "a"), Look(False, ""), Look(False, "b"), Look(True, "c")), "-")
    assert found == Look(True, "c")
    assert capsys.readouterr().err == "a\nb\nc\n"
    assert paused == [LOOK_INTERVAL_S] * 4


def test_an_interrupt_says_what_goes_on(paused: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        watch(looks(Look(False, "a"), KeyboardInterrupt()), "it goes on")
    assert capsys.readouterr().err == "a\nit goes on\n"


def test_a_silence_is_waited_for_and_ends_where_it_lasts(paused: list[float]) -> None:
    silent = [UnavailableError("refused"), OSError("refused")]
    assert watch(looks(*silent, Look(True, "")), "-").done
    paused.clear()

    def gone() -> Look:
        raise UnavailableError("refused")

    with pytest.raises(UnavailableError, match=r"no answer for 30 s \(refused\); it goes on"):
        watch(gone, "it goes on")
    assert SILENCE_LIMIT_S - 5 < sum(paused) <= SILENCE_LIMIT_S + LOOK_INTERVAL_S


def test_what_is_wrong_as_it_stands_is_told_at_once(paused: list[float]) -> None:
    with pytest.raises(InvalidRequest):
        watch(looks(InvalidRequest("no such node")), "-")
    assert paused == []
