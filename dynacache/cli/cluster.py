"""The commands that look at the cluster: `cluster status`, `cluster owners KEY`, `ready`.

What: each asks one node for a report and shows it. A report is a map, documented in `docs/wire`; a field that an older
node does not send shows as a dash.

Invariant: `ready` exits 0 only when the node knows the member table; anything else is exit code 4, so a script or a
supervisor can wait for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dynacache.cli.output import Answer, Rows
from dynacache.cli.session import CacheClient
from dynacache.errors import NotReady

__all__ = ["owners", "ready", "status"]

_MEMBER_COLUMNS = ("node", "address", "state", "place", "zone", "weight", "partitions", "linked", "hints")


def status(client: CacheClient, address: str | None = None) -> Answer:
    """Show the members as one node sees them: `address`, or whichever answers."""
    report: Mapping[str, Any] = client.report("status", address=address)
    members: Sequence[Mapping[str, Any]] = report.get("members", ())
    rows = tuple(tuple(_cell(member.get(column)) for column in _MEMBER_COLUMNS) for member in members)
    count = "1 member" if len(members) == 1 else f"{len(members)} members"
    title = (
        f"cluster {report.get('cluster', '-')}, as {report.get('node', '-')} sees it: {count},"
        f" {report.get('partition_count', '-')} partitions, {report.get('replication_factor', '-')} copies,"
        f" {report.get('warming_partitions', '-')} of its partitions warming"
    )
    return Answer(report, tables=(Rows(title, _MEMBER_COLUMNS, rows),))


def owners(client: CacheClient, key: str) -> Answer:
    """Show the partition of a key and the nodes that hold it, in order of preference."""
    report: Mapping[str, Any] = client.owners(key)
    named = [(node, "owner") for node in report.get("owners", ())]
    named += [(node, "fallback") for node in report.get("fallbacks", ())]
    title = f"{key}: partition {report.get('partition', '-')}"
    return Answer({"key": key, **report}, tables=(Rows(title, ("node", "role"), tuple(named)),))


def ready(client: CacheClient, address: str | None = None) -> Answer:
    """Say whether a node knows the member table, and how many of its partitions still warm up."""
    try:
        report: Mapping[str, Any] = client.report("ready", address=address)
    except NotReady as error:
        return _not_ready(str(error))
    if not report.get("ready"):
        return _not_ready("the node is stopping")
    return Answer(report, text=f"ready, {report.get('warming_partitions', 0)} partitions warming")


def _not_ready(reason: str) -> Answer:
    return Answer({"ready": False, "reason": reason}, complaint=f"not ready: {reason}", exit_code=NotReady.exit_code)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else value
