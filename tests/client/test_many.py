"""What many keys mean together."""

import pytest

from dynacache.client.many import delete_calls, found_values, get_calls, raise_failed, set_calls
from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.errors import NotEnoughReplicas, TimedOut
from dynacache.wire.messages import DELETE, DONE, GET, MISS, SET, VALUE

REQUESTS = Requests(Options(), b"client-1")


def test_found_values_leaves_misses_out_and_keeps_stored_nones() -> None:
    calls = get_calls(REQUESTS, ["a", "b", "c"], None, None, None)
    calls[0].reply = [VALUE, 1, 0, b"\xc0"]
    calls[1].reply = [MISS, 2, 0]
    calls[2].reply = [VALUE, 3, 0, b"\x01"]
    assert found_values(["a", "b", "c"], calls, 0) == {"a": None, "c": 1}


def test_calls() -> None:
    assert [call.message[0] for call in get_calls(REQUESTS, ["a"], "one", 1.0, None)] == [GET]
    assert [call.message[2] for call in set_calls(REQUESTS, {"a": 1, "b": 2}, 1.0, None, None)] == [b"a", b"b"]
    assert [call.message[0] for call in set_calls(REQUESTS, {"a": 1}, None, None, None)] == [SET]
    assert [call.message[0] for call in delete_calls(REQUESTS, ["a"], None, None)] == [DELETE]


def test_nothing_failed() -> None:
    calls = set_calls(REQUESTS, {"a": 1}, None, None, None)
    calls[0].reply = [DONE, 1, True]
    raise_failed(calls)


def test_an_unknown_fate_is_told_before_a_definite_refusal() -> None:
    calls = set_calls(REQUESTS, {"a": 1, "b": 2, "c": 3}, None, None, None)
    calls[0].error = NotEnoughReplicas("few")
    calls[1].reply = [DONE, 1, True]
    calls[2].error = TimedOut("late")
    with pytest.raises(TimedOut) as caught:
        raise_failed(calls)
    assert caught.value.__notes__ == ["2 of 3 keys failed; the others were carried out"]


def test_one_key_needs_no_note() -> None:
    calls = get_calls(REQUESTS, ["a"], None, None, None)
    calls[0].error = NotEnoughReplicas("few")
    with pytest.raises(NotEnoughReplicas) as caught:
        found_values(["a"], calls, 0)
    assert not hasattr(caught.value, "__notes__")
