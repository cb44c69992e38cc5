"""Operations on many keys at once, as lists of calls and one verdict.

What: what `get_many`, `set_many` and `delete_many` of both clients share: the calls, and what their ends mean together.

Invariant: an error raised for many keys is the one of a key: of unknown fate before a definite one, else the first by
position. Its note says how many of how many keys failed; the others have been carried out.

Why: there is no transaction across keys, and none is pretended. Whoever must know each key's end uses a pipeline, which
has a result or an error for every position.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from dynacache.client.calls import Call
from dynacache.client.requests import LevelName, Requests
from dynacache.client.values import Key
from dynacache.errors import DynacacheError

__all__ = ["delete_calls", "found_values", "get_calls", "raise_failed", "set_calls"]

_MISSING: Final = object()


def get_calls(
    requests: Requests,
    keys: Sequence[Key],
    level: LevelName | None,
    timeout: float | None,
    max_staleness: float | None,
) -> list[Call[Any]]:
    """One read for each key."""
    return [requests.get(key, _MISSING, level=level, timeout=timeout, max_staleness=max_staleness) for key in keys]


def set_calls(
    requests: Requests, values: Mapping[Key, Any], ttl: float | None, level: LevelName | None, timeout: float | None
) -> list[Call[Any]]:
    """One unconditional write for each key."""
    return [requests.set(key, value, ttl=ttl, level=level, timeout=timeout) for key, value in values.items()]


def delete_calls(
    requests: Requests, keys: Iterable[Key], level: LevelName | None, timeout: float | None
) -> list[Call[Any]]:
    """One unconditional delete for each key."""
    return [requests.delete(key, level=level, timeout=timeout) for key in keys]


def found_values(keys: Sequence[Key], calls: Sequence[Call[Any]], wall_ms: int) -> dict[Key, Any]:
    """The values of the keys that have one, in the order asked for; raises as the module says."""
    raise_failed(calls)
    results = (call.result(wall_ms) for call in calls)
    return {key: value for key, value in zip(keys, results, strict=True) if value is not _MISSING}


def raise_failed(calls: Sequence[Call[Any]]) -> None:
    """Raise the error that speaks for all that failed, if any did."""
    failures: list[DynacacheError] = [call.error for call in calls if call.error is not None]
    if not failures:
        return
    error = next((failure for failure in failures if not failure.definite), failures[0])
    if len(calls) > 1:
        error.add_note(f"{len(failures)} of {len(calls)} keys failed; the others were carried out")
    raise error
