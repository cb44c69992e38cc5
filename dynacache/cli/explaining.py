"""The command that tells all about one key: `explain KEY`.

What: every member is asked what it knows of the key (report ``explain``); shown are the owners in order of preference
with their copies, clocks, expiry and state, whoever else holds something, the hints, and why the last read that found
nothing found nothing.

Invariant: looking changes nothing, and shows no value. An owner that does not answer has its row, which says so.

Clocks are written as ``n1:3 n2:1``: three versions minted by the present process of n1, one by that of n2. An actor of
a process that has ended is shown by the first digits of its incarnation.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from dynacache.cli.asking import Answered, ask_all, survey
from dynacache.cli.output import Answer, Rows
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import counted, shown_instant, shown_span
from dynacache.errors import UnavailableError
from dynacache.namespaces.names import qualify
from dynacache.placement.table import MemberTable

__all__ = ["explain"]

_COLUMNS = ("node", "role", "copy", "clock", "written", "expires", "partition here", "compared", "hints for it")
_INCARNATION_CHARACTERS = 6
_NEVER_WRITTEN = "never written"


def explain(client: CacheClient, key: str, view: str | None = None, namespace: str = "") -> Answer:
    """Tell all that any member knows of a key; exit code 4 when no owner answers."""
    place: Mapping[str, Any] = client.owners(key)
    seen = survey(client, view)
    names = _names(client, view)
    answers = ask_all(client, seen.present, "explain", qualify(namespace, key.encode("utf-8", "surrogateescape")))
    told = {node: each.report for node, each in answers.items() if each.report}
    owners = list(dict.fromkeys([*place.get("owners", ()), *_write_owners(told)]))
    order = [*owners, *(node for node in place.get("fallbacks", ()) if node not in owners)]
    order += [node for node in answers if node not in order]
    held = list(_hints(told))
    rows = []
    silent_fallbacks = 0
    for node in order:
        answered = answers.get(node, Answered(error="not a member any more"))
        role = _role(node, answered, owners, order)
        if node in owners or _knows_something(answered.report) or any(hint["target"] == node for hint in held):
            rows.append((node, role, *_cells(answered, names, [hint for hint in held if hint["target"] == node])))
        else:
            silent_fallbacks += 1
    others = [f"nothing of it at {counted(silent_fallbacks, 'other member')}"] if silent_fallbacks else []
    miss = _last_miss(told)
    verdict = _verdict(owners, told)
    record = {
        "key": key,
        "partition": place.get("partition"),
        "owners": owners,
        "fallbacks": [node for node in order if node not in owners],
        "nodes": {node: each.report or {"error": each.error} for node, each in answers.items()},
        "hints": held,
        "last_miss": miss,
        "verdict": verdict,
    }
    remarks = (*others, *_hint_lines(held), verdict, _miss_line(miss))
    title = f"{key}: partition {place.get('partition', '-')}, preference {', '.join(order)}"
    silent = not any(node in told for node in owners)
    return Answer(
        record,
        tables=(Rows(title, _COLUMNS, tuple(rows)),),
        remarks=remarks,
        complaint="no owner answers" if silent else "",
        exit_code=UnavailableError.exit_code if silent else 0,
    )


def _names(client: CacheClient, view: str | None) -> dict[str, str]:
    """Nodes by the incarnation of their present process, in hexadecimal digits."""
    table = MemberTable.from_wire(client.report("table", address=view)["table"])
    return {f"{entry.generation:x}": entry.node_id for entry in table.entries.values()}


def _write_owners(told: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for report in told.values():
        yield from report.get("write_owners", ())


def _hints(told: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for node, report in told.items():
        for hint in report.get("hints", ()):
            yield {"holder": node, **hint}


def _role(node: str, answered: Answered, owners: list[str], order: list[str]) -> str:
    if answered.report:
        role = str(answered.report.get("role", "-"))
        if role != "not an owner":
            return role
    elif node in owners:
        return "owner"
    return f"fallback {order.index(node) - len(owners) + 1}"


def _knows_something(report: Mapping[str, Any]) -> bool:
    copy = report.get("copy") or {}
    traces = (copy.get("held"), copy.get("evicted"), copy.get("deleted_before_ms"), _gone(copy), report.get("hints"))
    return any(traces)


def _cells(answered: Answered, names: Mapping[str, str], hints: list[dict[str, Any]]) -> tuple[str, ...]:
    """The cells of one member after its name and role."""
    waiting = ", ".join(f"{hint['holder']} ({shown_span(hint['age_ms'])})" for hint in hints) or "-"
    report = answered.report
    if not report:
        return (answered.error, "-", "-", "-", "-", "-", waiting)
    copy: Mapping[str, Any] = report.get("copy") or {}
    record: Mapping[str, Any] = copy.get("record") or {}
    at_ms = report.get("at_ms", 0)
    expire_ms = record.get("expire_ms") or 0
    expires = "never" if record.get("found") and not expire_ms else "-"
    if expire_ms:
        expires = f"in {shown_span(expire_ms - at_ms)}" if expire_ms > at_ms else f"{shown_span(at_ms - expire_ms)} ago"
    owned = report.get("role") != "not an owner"
    synced_ms = (report.get("last_sync_ms") or 0) if owned else 0
    return (
        _copy(copy, at_ms),
        _clock(record.get("context") or {}, names),
        shown_instant(record.get("updated_ms", 0)),
        expires,
        _state(report) if owned else "-",
        f"{shown_span(max(0, at_ms - synced_ms))} ago" if synced_ms else "-",
        waiting,
    )


def _copy(copy: Mapping[str, Any], at_ms: int) -> str:
    """What a member holds, in words."""
    record = copy.get("record")
    if record is None:
        if copy.get("evicted"):
            version = copy.get("evicted_version_ms")
            return "evicted" + (f" (a version of {shown_instant(version)})" if version else " perhaps: not remembered")
        if copy.get("deleted_before_ms"):
            return f"none (deleted, before {shown_instant(copy['deleted_before_ms'])})"
        return f"none ({_gone(copy)})" if _gone(copy) else "none"
    if record.get("tombstone_age_ms") is not None:
        return f"tombstone, {shown_span(record['tombstone_age_ms'])} old"
    versions = record.get("versions") or []
    kinds = [each["kind"] for each in versions if each["kind"] != "tombstone"]
    if not record.get("found"):
        return "expired" if record.get("expire_ms") and record["expire_ms"] <= at_ms else "nothing to read"
    size = sum(each.get("payload_bytes", 0) for each in versions)
    if len(kinds) > 1 and "counter" not in kinds:
        return f"{len(kinds)} concurrent versions, {size} bytes"
    return f"{kinds[0] if kinds else 'value'}, {size} bytes"


def _gone(copy: Mapping[str, Any]) -> str:
    """Why a key that left no trace in the store is gone, as far as its node remembers; empty if it does not."""
    reason = str(copy.get("gone") or "").replace("_", " ")
    return "" if reason == _NEVER_WRITTEN else reason


def _clock(context: Mapping[str, int], names: Mapping[str, str]) -> str:
    """A clock with nodes for actors; several actors of one process are told apart by their base."""
    parts = []
    incarnations = [actor.partition(".")[0] for actor in context]
    for actor, n in context.items():
        incarnation, _, base = actor.partition(".")
        name = names.get(incarnation, incarnation[:_INCARNATION_CHARACTERS])
        parts.append(f"{name}{f'/{base}' if incarnations.count(incarnation) > 1 else ''}:{n}")
    return " ".join(parts) or "-"


def _state(report: Mapping[str, Any]) -> str:
    """What limits this member's answers about the partition."""
    found = [name for name in ("warming", "stale") if report.get(name)]
    if report.get("repair_pending"):
        found.append("repair first")
    if report.get("clock") not in ("safe", None):
        found.append("clock in doubt")
    return ", ".join(found) or "complete"


def _hint_lines(held: list[dict[str, Any]]) -> list[str]:
    return [
        f"{hint['holder']} holds a hint for {hint['target']} since {shown_span(hint['age_ms'])}"
        f" ({'it stands for an acknowledgement' if hint['counted'] else 'one copy more than acknowledged'})"
        for hint in held
    ]


def _last_miss(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """The latest read without a value that any member coordinated."""
    found = [{"coordinator": node, **report["last_miss"]} for node, report in told.items() if report.get("last_miss")]
    return max(found, key=lambda miss: int(miss["at_ms"]), default=None)


def _miss_line(miss: Mapping[str, Any] | None) -> str:
    if miss is None:
        return "last miss: none remembered"
    answers = ", ".join(f"{node} {answer}" for node, answer in (miss.get("answers") or {}).items())
    reason = str(miss["reason"]).replace("_", " ")
    return (
        f"last miss: {shown_instant(miss['at_ms'])} through {miss['coordinator']} at level {miss['level']}: {reason}"
        f" ({answers or 'nobody was asked'})"
    )


def _verdict(owners: list[str], told: Mapping[str, Mapping[str, Any]]) -> str:
    """What a read that reaches these owners finds now, in one sentence."""
    copies = {node: told[node].get("copy") or {} for node in owners if node in told}
    records = {node: copy["record"] for node, copy in copies.items() if copy.get("record")}
    found = [node for node, record in records.items() if record.get("found")]
    away = [node for node in owners if node not in told]
    incomplete = [node for node in owners if node in told and (told[node].get("warming") or told[node].get("stale"))]
    doubts = ([f"{', '.join(away)} did not answer"] if away else []) + (
        [f"{', '.join(incomplete)} incomplete"] if incomplete else []
    )
    tail = f" ({'; '.join(doubts)})" if doubts else ""
    clocks = {tuple(sorted((record.get("context") or {}).items())) for record in records.values()}
    if found:
        if len(clocks) > 1:
            return f"now: {', '.join(found)} hold a value, with different clocks: a read merges and repairs them{tail}"
        if len(found) < len(copies):
            return (
                f"now: {', '.join(found)} of {len(owners)} owners hold a value, which repair brings to the rest{tail}"
            )
        return f"now: a value, the same on every owner that answered{tail}"
    if any(record.get("tombstone_age_ms") is not None for record in records.values()):
        return f"now: deleted; its tombstone is held by {', '.join(records)}{tail}"
    if records:
        return f"now: expired on {', '.join(records)}{tail}"
    evicted = [node for node, copy in copies.items() if copy.get("evicted")]
    if evicted:
        return f"now: evicted for want of memory on {', '.join(evicted)}{tail}"
    if any(copy.get("deleted_before_ms") for copy in copies.values()):
        return f"now: deleted, its tombstone was reaped{tail}"
    gone = {node: _gone(copy) for node, copy in copies.items() if _gone(copy)}
    if gone:
        reasons = " or ".join(dict.fromkeys(gone.values()))
        return f"now: {reasons} and gone, as {', '.join(gone)} remember{'s' * (len(gone) == 1)}{tail}"
    return f"now: {_NEVER_WRITTEN}, as far as the owners remember{tail}"
