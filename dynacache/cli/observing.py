"""The commands that look at the keys themselves: `scan`, `watch`, `hot`, `misses`.

What: `scan` and `watch` print line by line as the client's iterators bring it; `hot` and `misses` ask every member for
its report and add up what they tell.

Invariant: a request was counted at one node only, so sums over the members are the cluster's figures; members that did
not answer are named. With ``--output json`` `scan` prints one document when it is over; `watch` prints one document a
line, as it happens, and its sums at the end.

Keys are shown as text where they are UTF-8, with backslash escapes for other bytes.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dynacache.cli.asking import Answered, ask_all, survey
from dynacache.cli.output import Answer, Output, Rows, jsonable
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import counted, shown_instant
from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import namespace_of

__all__ = ["hot", "misses", "scan", "watch"]

_PAUSE_S = 0.5
_KeyCounts = dict[bytes, list[float]]


def scan(
    client: CacheClient, prefix: str, pattern: str | None, level: str | None, limit: int, output: Output
) -> Answer:
    """Print the keys, as they come."""
    _require("limit", limit, 0)
    found: list[bytes] = []
    count = 0
    for key in client.scan(_encoded(prefix), pattern=None if pattern is None else _encoded(pattern), level=level):
        if limit and count == limit:
            break
        count += 1
        if output == "json":
            found.append(key)
        else:
            print(_text(key))
    return Answer({"keys": found, "count": count})


def watch(
    client: CacheClient, prefix: str, changes: Sequence[str], limit: int, seconds: float | None, output: Output
) -> Answer:
    """Print what happens to keys, as it happens, until there was enough."""
    _require("limit", limit, 0)
    told = lost = 0
    until_s = float("inf") if seconds is None else time.monotonic() + seconds
    with client.subscribe(_encoded(prefix), changes=list(changes) or None) as events:
        while (not limit or told < limit) and (left_s := until_s - time.monotonic()) > 0:
            item = events.get(min(left_s, _PAUSE_S))
            if item is None:
                continue
            is_event = hasattr(item, "change")
            told += is_event
            lost += 0 if is_event else item.count or 0
            print(_line(item, is_event, output), flush=True)
    return Answer({"events": told, "lost": lost})


def _line(item: Any, is_event: bool, output: Output) -> str:
    if is_event:
        change = item.change.name.lower()
        if output == "json":
            record = {"change": change, "key": item.key, "at": item.at, "node": item.node}
            return json.dumps({name: jsonable(value) for name, value in record.items()})
        return f"{shown_instant(item.at * 1000)}  {change:<6}  {_text(item.key)}  ({item.node})"
    if output == "json":
        return json.dumps({"lost": item.count, "node": item.node})
    if item.count is None:
        return f"events of {item.node} may have been lost: it could not be asked for a while"
    return f"{counted(item.count, 'event')} of {item.node} lost: they were not taken in time"


def hot(client: CacheClient, count: int, view: str | None = None) -> Answer:
    """Show the keys that are read most in the whole cluster."""
    _require("count", count, 1)
    answers = ask_all(client, survey(client, view).present, "hot")
    sums: _KeyCounts = {}
    for answered in answers.values():
        for key, reads_per_s, error_per_s in answered.report.get("keys", ()):
            entry = sums.setdefault(key, [0.0, 0.0, 0])
            entry[0] += reads_per_s
            entry[1] += error_per_s
            entry[2] += 1
    ordered = sorted(sums.items(), key=_hottest)[:count]
    record = {
        "keys": [
            {"key": _plain(key), "namespace": namespace_of(key), "reads_per_s": rate, "error_per_s": error}
            for key, (rate, error, _) in ordered
        ],
        "unanswered": _unanswered(answers),
    }
    rows = tuple(
        (_named(key), f"{rate:.1f}", f"{max(rate - error, 0):.1f}", int(nodes)) for key, (rate, error, nodes) in ordered
    )
    title = "Reads a second, from a sample of one in sixteen; newer reads weigh more"
    table = Rows(title, ("key", "reads/s at most", "at least", "asked at nodes"), rows)
    quiet = () if rows else ("no read was in the sample lately",)
    return Answer(record, tables=(table,), remarks=(*quiet, *_remarks(answers)))


def misses(client: CacheClient, count: int, view: str | None = None) -> Answer:
    """Show how many reads found nothing, by reason and by the prefix of the key."""
    _require("count", count, 1)
    answers = ask_all(client, survey(client, view).present, "misses")
    totals: Counter[str] = Counter()
    other: Counter[str] = Counter()
    prefixes: dict[bytes, Counter[str]] = {}
    for answered in answers.values():
        totals.update(answered.report.get("by_reason", {}))
        other.update(answered.report.get("other", {}))
        for prefix, by_reason, _ in answered.report.get("prefixes", ()):
            prefixes.setdefault(prefix, Counter()).update(by_reason)
    ordered = sorted(prefixes.items(), key=_most_missed)
    for _, by_reason in ordered[count:]:
        other.update(by_reason)
    reasons = tuple(totals)
    shown = [(_named(prefix) or "(no prefix)", by_reason) for prefix, by_reason in ordered[:count]]
    rows = [(name, sum(found.values()), *(found[each] for each in reasons)) for name, found in shown]
    rows.append(("(all others)", sum(other.values()), *(other[each] for each in reasons)))
    rows.append(("all", sum(totals.values()), *(totals[each] for each in reasons)))
    record = {
        "by_reason": dict(totals),
        "prefixes": [
            {
                "prefix": _plain(prefix),
                "namespace": _namespace(prefix),
                "by_reason": dict(by_reason),
            }
            for prefix, by_reason in ordered[:count]
        ],
        "other": dict(other),
        "unanswered": _unanswered(answers),
    }
    columns = ("prefix", "misses", *(each.replace("_", " ") for each in reasons))
    table = Rows("Misses since the members started", columns, tuple(rows))
    return Answer(record, tables=(table,), remarks=_remarks(answers))


def _require(option: str, value: int, least: int) -> None:
    if value < least:
        raise InvalidRequest(f"--{option}: got {value}, expected a whole number from {least} on")


def _hottest(entry: tuple[bytes, list[float]]) -> tuple[float, bytes]:
    return -entry[1][0], entry[0]


def _most_missed(entry: tuple[bytes, Counter[str]]) -> tuple[int, bytes]:
    return -sum(entry[1].values()), entry[0]


def _unanswered(answers: dict[str, Answered]) -> dict[str, str]:
    return {node: answered.error for node, answered in answers.items() if answered.error}


def _remarks(answers: dict[str, Answered]) -> tuple[str, ...]:
    return tuple(f"{node} did not answer: {error}" for node, error in _unanswered(answers).items())


def _plain(qualified: bytes) -> bytes:
    """The application's key, or the beginning of one, of a qualified one."""
    return qualified if qualified[:1] != b"\0" else qualified[2 + qualified[1] :]


def _namespace(qualified: bytes) -> str:
    return namespace_of(qualified) if qualified else ""


def _named(qualified: bytes) -> str:
    """A key, or the beginning of one, with its namespace before it."""
    name = _namespace(qualified)
    return f"{name}/{_text(_plain(qualified))}" if name else _text(_plain(qualified))


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
