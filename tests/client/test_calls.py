"""A call's end, and how many calls are cut into batches."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client.calls import BATCH_LIMIT_BYTES, BATCH_LIMIT_CALLS, Call, chunks
from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.errors import ProtocolError, TimedOut, UncertainError
from dynacache.wire.messages import DONE, VALUE

REQUESTS = Requests(Options(), b"client-1")


def test_result() -> None:
    call = REQUESTS.get("k")
    call.reply = [VALUE, 1, 1, b"x"]
    assert call.result(0) == b"x"


def test_result_raises_what_the_call_ended_with() -> None:
    call = REQUESTS.get("k")
    call.error = TimedOut("late")
    with pytest.raises(TimedOut):
        call.result(0)


@pytest.mark.parametrize("reply", [[VALUE], [VALUE, 1, 0], [VALUE, 1, None, b""], [DONE, 1, True], [VALUE, 1, 0, 7]])
def test_a_malformed_reply_is_the_peers_fault(reply: list[Any]) -> None:
    call = REQUESTS.get("k")
    call.reply = reply
    with pytest.raises(ProtocolError):
        call.result(0)


@pytest.mark.parametrize("reply", [[DONE], [VALUE, 1, 0, b""], [DONE, 1, True, 7]])
def test_nobody_knows_what_became_of_a_write_with_a_malformed_reply(reply: list[Any]) -> None:
    call = REQUESTS.set("k", 1)
    call.reply = reply
    with pytest.raises(UncertainError):
        call.result(0)


@given(st.lists(st.sampled_from([0, 1, 1000, BATCH_LIMIT_BYTES // 3, BATCH_LIMIT_BYTES * 2]), max_size=12))
def test_batches_hold_every_call_once_within_the_limits(sizes: list[int]) -> None:
    calls: list[Call[Any]] = [REQUESTS.set("k", b"x" * size) for size in sizes]
    batches = list(chunks(calls))
    assert [call for batch in batches for call in batch] == calls
    for batch in batches:
        assert batch
        assert len(batch) == 1 or sum(len(call.message[4]) for call in batch) <= BATCH_LIMIT_BYTES


def test_batches_are_bounded_by_count() -> None:
    calls: list[Call[Any]] = [REQUESTS.get("k") for _ in range(BATCH_LIMIT_CALLS + 1)]
    assert [len(batch) for batch in chunks(calls)] == [BATCH_LIMIT_CALLS, 1]
