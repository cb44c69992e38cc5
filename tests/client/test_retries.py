"""When a call is tried again, and what is told when it is not: laws, in virtual time."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.client.calls import Call
from dynacache.client.options import Options
from dynacache.client.requests import Requests
from dynacache.client.retries import RetryPolicy, attempt_deadline_s, settle, settle_all
from dynacache.client.routing import FAILURES_BEFORE_AVOIDING, Endpoint
from dynacache.errors import (
    AuthenticationFailed,
    ClockUnsafe,
    ClusterMismatch,
    ConnectionLost,
    DynacacheError,
    InvalidRequest,
    NotEnoughReplicas,
    NotReady,
    OutOfMemory,
    Overloaded,
    TimedOut,
    TooManySiblings,
    UnavailableError,
    WrongType,
)
from dynacache.wire.messages import DONE, ERROR

REQUESTS = Requests(Options(), b"client-1")
POLICY = RetryPolicy()


def read() -> Call[Any]:
    """A call that changes nothing."""
    return REQUESTS.get("k")


def plain_set() -> Call[Any]:
    """A write that may be repeated."""
    return REQUESTS.set("k", 1)


def increment() -> Call[Any]:
    """A write that must not be repeated."""
    return REQUESTS.increment("k")


def after(call: Call[Any], error: DynacacheError, now_s: float = 0.0, deadline_s: float = 5.0) -> float | None:
    """Judge an attempt that failed like this."""
    call.deadline_s = deadline_s
    call.error = error
    return settle(call, POLICY, now_s, random.Random(1))


def test_an_answer_ends_the_call() -> None:
    call = plain_set()
    call.reply = [DONE, 1, True]
    assert settle(call, POLICY, 0.0, random.Random(1)) is None
    assert call.error is None


@pytest.mark.parametrize(
    "error",
    [
        *(NotEnoughReplicas("x"), Overloaded("x"), ClockUnsafe("x"), NotReady("x"), UnavailableError("x")),
        *(AuthenticationFailed("x"), ClusterMismatch("x")),
    ],
)
@pytest.mark.parametrize("make", [read, plain_set, increment])
def test_what_certainly_did_not_happen_is_tried_again(make: Any, error: DynacacheError) -> None:
    call = make()
    assert after(call, error) is not None
    assert call.error is None
    assert call.reply is None


@pytest.mark.parametrize("error", [TimedOut("x"), ConnectionLost("x")])
def test_an_unknown_fate_is_tried_again_only_where_repeating_is_harmless(error: DynacacheError) -> None:
    for call in (read(), plain_set(), REQUESTS.delete("k"), REQUESTS.touch("k", 1)):
        assert after(call, error) is not None
    conditional = REQUESTS.set("k", 1, only_if_absent=True)
    for call in (increment(), conditional, REQUESTS.get_and_set("k", 1), REQUESTS.delete("k", version=b"v")):
        assert after(call, error) is None
        assert call.error is error


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("x"), WrongType("x"), TooManySiblings("x"), OutOfMemory("x")],
)
def test_what_a_retry_cannot_help_is_told_at_once(error: DynacacheError) -> None:
    call = read()
    assert after(call, error) is None
    assert call.error is error


def test_an_error_reply_is_judged_like_any_other() -> None:
    call = increment()
    call.deadline_s = 5.0
    call.reply = [ERROR, 1, WrongType.code, "a list"]
    assert settle(call, POLICY, 0.0, random.Random(1)) is None
    assert isinstance(call.error, WrongType)


def test_an_earlier_unknown_fate_outweighs_a_later_refusal() -> None:
    call = plain_set()
    assert after(call, TimedOut("first")) is not None
    assert after(call, NotEnoughReplicas("second"), now_s=4.999) is None
    assert isinstance(call.error, TimedOut)
    assert call.error.__notes__ == ["a later attempt was refused: second"]


def test_a_read_has_no_effect_to_be_uncertain_of() -> None:
    call = read()
    after(call, TimedOut("first"))
    after(call, NotEnoughReplicas("second"), now_s=4.999)
    assert isinstance(call.error, NotEnoughReplicas)


def test_another_node_is_asked_at_once_but_the_cluster_is_given_time() -> None:
    assert after(read(), ConnectionLost("x")) == 0.0
    assert after(read(), UnavailableError("refused")) == 0.0
    assert after(read(), NotEnoughReplicas("x")) != 0.0
    assert after(read(), Overloaded("x")) != 0.0


def test_delays_grow_are_jittered_and_capped() -> None:
    call = read()
    policy = RetryPolicy(attempts_limit=20)
    delays_s = []
    for _ in range(15):
        call.deadline_s, call.error = 1e9, NotEnoughReplicas("x")
        delay_s = settle(call, policy, 0.0, random.Random(1))
        assert delay_s is not None
        delays_s.append(delay_s)
    for attempt, delay_s in enumerate(delays_s):
        full_s = min(policy.backoff_first_s * 2**attempt, policy.backoff_longest_s)
        assert full_s / 2 <= delay_s <= full_s


def test_a_batch_waits_for_the_call_that_needs_the_longest_pause() -> None:
    at_once, later, lost = read(), read(), increment()
    for call, error in ((at_once, NotReady("x")), (later, Overloaded("x")), (lost, ConnectionLost("x"))):
        call.deadline_s, call.error = 5.0, error
    again, delay_s = settle_all([at_once, lost, later], POLICY, 0.0, random.Random(1))
    assert again == [at_once, later]
    assert delay_s >= POLICY.backoff_first_s / 2
    assert lost.failed
    assert isinstance(lost.error, ConnectionLost)


def test_failures_of_the_node_are_held_against_it() -> None:
    for error, failures in (
        (TimedOut("x"), 1),
        (ConnectionLost("x"), 1),
        (NotEnoughReplicas("x"), 0),
        (NotReady("x"), FAILURES_BEFORE_AVOIDING),
        (ClockUnsafe("x"), FAILURES_BEFORE_AVOIDING),
    ):
        call = read()
        call.endpoint = Endpoint(("a", 1))
        after(call, error)
        assert call.endpoint.failures == failures
        assert call.tried == (call.endpoint,)


def test_a_timeout_told_by_the_node_is_not_its_fault() -> None:
    call = read()
    call.endpoint = Endpoint(("a", 1))
    call.deadline_s = 5.0
    call.reply = [ERROR, 1, TimedOut.code, "replicas were slow"]
    assert settle(call, POLICY, 0.0, random.Random(1)) is not None
    assert call.endpoint.failures == 0


def test_only_what_may_be_repeated_gives_up_an_attempt_early() -> None:
    for call in (read(), increment()):
        call.deadline_s = 15.0
    assert attempt_deadline_s(read_until(15.0), POLICY, 10.0) == 11.0
    assert attempt_deadline_s(read_until(10.5), POLICY, 10.0) == 10.25
    call = increment()
    call.deadline_s = 15.0
    assert attempt_deadline_s(call, POLICY, 10.0) == 15.0
    last = read_until(15.0)
    last.attempts = POLICY.attempts_limit - 1
    assert attempt_deadline_s(last, POLICY, 10.0) == 15.0


def read_until(deadline_s: float) -> Call[Any]:
    """A read with a deadline."""
    call = read()
    call.deadline_s = deadline_s
    return call


ERRORS = st.sampled_from(
    [TimedOut, ConnectionLost, NotEnoughReplicas, Overloaded, NotReady, ClockUnsafe, OutOfMemory, UnavailableError]
)


@given(
    st.sampled_from([read, plain_set, increment]),
    st.lists(st.tuples(ERRORS, st.floats(0, 1.5)), min_size=30, max_size=30),
    st.integers(),
)
def test_laws_of_a_call_that_only_fails(make: Any, attempts: list[tuple[Any, float]], seed: int) -> None:
    call = make()
    call.deadline_s = 5.0
    random_source = random.Random(seed)
    now_s = 0.0
    seen: list[DynacacheError] = []
    for make_error, took_s in attempts:
        assert attempt_deadline_s(call, POLICY, now_s) <= call.deadline_s
        now_s = min(now_s + took_s, attempt_deadline_s(call, POLICY, now_s))
        call.error = make_error("x")
        seen.append(call.error)
        delay_s = settle(call, POLICY, now_s, random_source)
        if delay_s is None:
            break
        now_s += delay_s
        assert now_s < call.deadline_s, "no attempt starts after the deadline"
    else:
        pytest.fail("the attempts are limited")
    assert len(seen) <= POLICY.attempts_limit
    assert call.error in seen
    if call.changes and not all(error.definite for error in seen):
        assert not call.error.definite, "maybe applied is never reported as not applied"
    if not call.repeatable:
        assert all(error.definite for error in seen[:-1]), "an unknown fate is not repeated"
