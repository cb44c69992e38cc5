"""Whether a call that failed is tried again, when, and what the caller hears when it is not.

What: `settle` looks at one finished attempt. It either ends the call or says after how many seconds the next attempt
may start; `attempt_deadline_s` says how long one attempt may take.

Invariants: a call whose attempt has an unknown outcome is tried again only if it is `repeatable`. Retries never pass
the caller's deadline nor `attempts_limit`. A call that changes something and had any attempt of unknown outcome never
ends with an error that says "nothing was changed".

Why: `definite` of the error tree carries the whole decision (DESIGN section 9; errors.py), so no list of retryable
commands can drift from what the nodes promise. Delays are drawn between half and the whole of an exponential backoff,
so that callers refused together do not come back together; a node that refused or fell silent is left for another one
at once, without delay, the first time. An attempt of a repeatable call gets a slice of the time that is left, so that a
node that hangs costs a second and not the caller's whole patience; other calls have no second attempt to save time for.
"""

import random
from collections.abc import Iterable
from typing import Any

import attrs

from dynacache.client.calls import Call
from dynacache.client.results import error_of
from dynacache.client.routing import FAILURES_BEFORE_AVOIDING
from dynacache.errors import (
    ClockUnsafe,
    DynacacheError,
    NotEnoughReplicas,
    NotReady,
    OutOfMemory,
    Overloaded,
    ProtocolError,
    UnavailableError,
    UncertainError,
)

__all__ = ["RetryPolicy", "attempt_deadline_s", "settle", "settle_all"]


@attrs.frozen
class RetryPolicy:
    """Limits of retries."""

    attempts_limit: int = 10
    """Attempts of one call, the first included."""
    attempt_timeout_s: float = 1.0
    """Longest time given to one attempt of a call that may be repeated."""
    backoff_first_s: float = 0.02
    """Delay before the second attempt at the cluster; doubles at each further one."""
    backoff_longest_s: float = 1.0
    """Longest delay between attempts."""


def attempt_deadline_s(call: Call[Any], policy: RetryPolicy, now_s: float) -> float:
    """When the attempt that starts now is given up (monotonic seconds)."""
    if not call.repeatable or call.attempts + 1 >= policy.attempts_limit:
        return call.deadline_s
    return now_s + min(policy.attempt_timeout_s, (call.deadline_s - now_s) / 2)


def settle(call: Call[Any], policy: RetryPolicy, now_s: float, random_source: random.Random) -> float | None:
    """Judge an attempt: None when the call has ended (``call.error`` is final), else seconds until the next attempt."""
    error = call.error
    if error is None:
        assert call.reply is not None
        error = error_of(call.reply)
        if error is None:
            return None
    call.attempts += 1
    _hold_against_endpoint(call, error, now_s)
    if call.changes and not error.definite and call.uncertain is None:
        call.uncertain = error
    delay_s = _delay_s(call, policy, error, random_source)
    if delay_s is None or now_s + delay_s >= call.deadline_s:
        call.error = _final(call, error)
        return None
    if call.endpoint is not None:
        call.tried = (*call.tried, call.endpoint)
    call.reply = call.error = None
    return delay_s


def settle_all(
    calls: Iterable[Call[Any]], policy: RetryPolicy, now_s: float, random_source: random.Random
) -> tuple[list[Call[Any]], float]:
    """Judge one attempt of each call: the calls to try again, and the seconds until that is right for all of them."""
    again = []
    longest_s = 0.0
    for call in calls:
        delay_s = settle(call, policy, now_s, random_source)
        if delay_s is not None:
            again.append(call)
            longest_s = max(longest_s, delay_s)
    return again, longest_s


def _final(call: Call[Any], error: DynacacheError) -> DynacacheError:
    """What the caller hears: an attempt of unknown outcome outweighs later refusals."""
    if call.uncertain is None or not error.definite:
        return error
    call.uncertain.add_note(f"a later attempt was refused: {error}")
    return call.uncertain


def _hold_against_endpoint(call: Call[Any], error: DynacacheError, now_s: float) -> None:
    """Count what says that the node, not the request, is unwell; the shell counts failures to connect."""
    if call.endpoint is None:
        return
    if isinstance(error, NotReady | ClockUnsafe):
        call.endpoint.failed(now_s, FAILURES_BEFORE_AVOIDING)
    elif call.reply is None and isinstance(error, UncertainError):
        call.endpoint.failed(now_s)


def _delay_s(call: Call[Any], policy: RetryPolicy, error: DynacacheError, random_source: random.Random) -> float | None:
    if call.attempts >= policy.attempts_limit or not _may_repeat(call, error):
        return None
    if call.attempts == 1 and not isinstance(error, NotEnoughReplicas | Overloaded):
        return 0.0
    backoff_s = min(policy.backoff_first_s * 2.0 ** (call.attempts - 1), policy.backoff_longest_s)
    return backoff_s * (0.5 + 0.5 * random_source.random())


def _may_repeat(call: Call[Any], error: DynacacheError) -> bool:
    """A ProtocolError comes from a connection that could not be used; another node may be of our cluster and mind."""
    if error.definite:
        return isinstance(error, UnavailableError | ProtocolError) and not isinstance(error, OutOfMemory)
    return call.repeatable
