"""The commands that look at the cluster: `cluster status`, `cluster members`, `cluster owners KEY`, `ready`.

What: `status` asks one node for its view and every member for its own state; the others ask one node. A report is a
map, documented in `docs/wire`; a field that an older node does not send shows as a dash.

Invariant: `ready` exits 0 only when the node serves (with ``--complete``: and none of its partitions is incomplete);
anything else is exit code 4, so a script or a supervisor can wait for it.
"""

from collections.abc import Mapping
from typing import Any

from dynacache.cli.asking import Answered, Member, ask_all, survey
from dynacache.cli.output import Answer, Rows
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import cell, counted
from dynacache.errors import NotReady
from dynacache.placement.table import MemberTable

__all__ = ["members", "owners", "ready", "status"]

_STATUS_COLUMNS = (
    *("node", "address", "state", "place", "zone", "weight", "partitions", "warming", "stale", "linked", "hints"),
    "note",
)
_MEMBER_COLUMNS = ("node", "address", "place", "zone", "weight", "removal", "generation", "version")
_REMOVALS = ("no", "condemned", "removing", "removed")


def status(client: CacheClient, view: str | None = None) -> Answer:
    """Show every member: how one node (`view`, or whichever answers) sees it, and what it tells of itself."""
    seen = survey(client, view)
    report, present = seen.report, seen.present
    answers = ask_all(client, present, "node")
    held = _hints_held(answers)
    digests = {each.report.get("placement_digest") for each in answers.values() if each.report}
    rows = tuple(_row(member, answers[member.node], held, len(digests) > 1) for member in present)
    title = (
        f"cluster {report.get('cluster', '-')}, as {report.get('node', '-')} sees it:"
        f" {counted(len(present), 'member')}, {report.get('partition_count', '-')} partitions,"
        f" {report.get('replication_factor', '-')} copies{_others(report)}"
    )
    nodes = {node: each.report or {"error": each.error} for node, each in answers.items()}
    return Answer(
        {**report, "nodes": nodes},
        tables=(Rows(title, _STATUS_COLUMNS, rows),),
        remarks=tuple(_remarks(report, present, answers)),
    )


def _others(report: Mapping[str, Any]) -> str:
    """Return the replication factors that some namespaces have, in words."""
    factors = [str(factor) for factor in report.get("other_factors") or ()]
    return f" ({' or '.join(factors)} in some namespaces)" if factors else ""


def _row(member: Member, answered: Answered, held: Mapping[str, int], differ: bool) -> tuple[object, ...]:
    own, told = answered.report, member.told
    values = {
        **told,
        "warming": own.get("warming_partitions"),
        "stale": own.get("stale_partitions"),
        "hints": held.get(member.node, told.get("hints")),
        "note": "; ".join(_notes(answered, differ)),
    }
    return tuple(cell(values.get(column)) for column in _STATUS_COLUMNS)


def _notes(answered: Answered, differ: bool) -> list[str]:
    """What is worth a word about one member."""
    own = answered.report
    if not own:
        return [answered.error]
    notes = []
    if own.get("reason"):
        notes.append(str(own["reason"]).removeprefix("the node is ").removeprefix("the node's "))
    if own.get("departing_partitions"):
        notes.append(f"hands over {counted(own['departing_partitions'], 'partition')}")
    if differ:
        notes.append(f"owners {own.get('placement_digest', 0) & 0xFFFF:04x}")
    return notes


def _remarks(report: Mapping[str, Any], present: tuple[Member, ...], answers: Mapping[str, Answered]) -> list[str]:
    """Sentences about what goes on: changes, removals, zones, members that differ on the owners."""
    remarks = []
    removals: dict[str, str] = {}
    for node, answered in answers.items():
        own = answered.report
        waits = own.get("waiting_for") not in (None, "", "nothing")
        if waits or own.get("wants"):
            wish = f", asked to be {own['wants']}" if own.get("wants") else ""
            remarks.append(
                f"{node} is {own.get('state')}{wish}" + (f"; it waits for {own['waiting_for']}" if waits else "")
            )
        removals |= dict(own.get("removals") or {})
    remarks += [f"{member.node} is being removed" for member in present if member.node in removals]
    if report.get("zone_violations"):
        remarks.append(
            f"zones: {counted(report['zone_violations'], 'partition')} with more copies in one zone than need be; the"
            " loss of that zone takes them together"
        )
    if len({each.report.get("placement_digest") for each in answers.values() if each.report}) > 1:
        remarks.append("the members do not agree on the owners yet (see the notes); requests between them are refused")
    return remarks


def _hints_held(answers: Mapping[str, Answered]) -> dict[str, int]:
    """Hints that wait for each member, at all members that answered."""
    held: dict[str, int] = {}
    for answered in answers.values():
        for target, count in (answered.report.get("hints") or {}).items():
            held[target] = held.get(target, 0) + count
    return held


def members(client: CacheClient, view: str | None = None) -> Answer:
    """Show the member table as one node has it, with those who left or were removed."""
    report: Mapping[str, Any] = client.report("table", address=view)
    table = MemberTable.from_wire(report["table"])
    entries = [
        {
            "node": entry.node_id,
            "address": f"{entry.host}:{entry.port}",
            "place": entry.state.name.lower(),
            "zone": entry.zone,
            "weight": entry.weight,
            "removal": _REMOVALS[entry.removal],
            "generation": f"{entry.generation:x}",
            "version": entry.version,
        }
        for entry in table.entries.values()
    ]
    rows = tuple(tuple(cell(entry[column]) for column in _MEMBER_COLUMNS) for entry in entries)
    title = f"cluster {table.cluster_id.hex()}, the member table of {report.get('node', '-')}, digest {table.digest:x}"
    record = {"node": report.get("node"), "cluster": table.cluster_id.hex(), "digest": f"{table.digest:x}"}
    return Answer({**record, "members": entries}, tables=(Rows(title, _MEMBER_COLUMNS, rows),))


def owners(client: CacheClient, key: str) -> Answer:
    """Show the partition of a key and the nodes that hold it, in order of preference."""
    report: Mapping[str, Any] = client.owners(key)
    named = [(node, "owner") for node in report.get("owners", ())]
    named += [(node, "fallback") for node in report.get("fallbacks", ())]
    title = f"{key}: partition {report.get('partition', '-')}"
    return Answer({"key": key, **report}, tables=(Rows(title, ("node", "role"), tuple(named)),))


def ready(client: CacheClient, address: str | None = None, complete: bool = False) -> Answer:
    """Say whether a node serves, and how many of its partitions still warm up; `complete` demands that none does."""
    try:
        report: Mapping[str, Any] = client.report("ready", address=address)
    except NotReady as error:
        return _not_ready(str(error), {"ready": False})
    if not report.get("ready"):
        return _not_ready(report.get("reason") or "the node is stopping", report)
    warming = report.get("warming_partitions", 0)
    if complete and warming:
        return _not_ready(f"{counted(warming, 'partition')} warming", report)
    return Answer(report, text=f"ready, {warming} partitions warming")


def _not_ready(reason: str, report: Mapping[str, Any]) -> Answer:
    return Answer({**report, "reason": reason}, complaint=f"not ready: {reason}", exit_code=NotReady.exit_code)
