"""The commands about repair, hints and transfers: `repair start|status`, `hints list`, `handoff status|limit`.

What: each asks, or orders, every member that is held alive, and shows one row for each thing that one of them told.

Invariant: members that did not answer are named, and make the exit code 4 where an order should have reached all.

Why on every member: repair, hints and transfers are each node's own business; there is no place that knows them all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dynacache.cli.asking import Answered, Member, ask_all, order_all, survey
from dynacache.cli.output import Answer, Rows
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import cell, counted, shown_bytes, shown_span
from dynacache.cli.waiting import Look, watch
from dynacache.errors import InvalidRequest, UnavailableError

__all__ = ["handoff_limit", "handoff_status", "hints_list", "repair_start", "repair_status"]

_REPAIR_COLUMNS = (*("node", "with", "shares", "changed", "settled leaves", "asked for", "runs", "last", "next"),)
_HINT_COLUMNS = ("held by", "for", "hints", "bytes", "oldest", "goes on in")
_HANDOFF_COLUMNS = ("node", "to fill", "filled", "taken in", "given out", "left", "limit", "waits for")
_ENDS = ("delivered", "offered", "superseded", "expired", "lost")


def repair_start(client: CacheClient, partitions: Sequence[int], wait: bool, view: str | None = None) -> Answer:
    """Have every member compare its copies with the other owners' now; of some partitions or of all."""
    seen = survey(client, view)
    count = seen.report.get("partition_count", 0)
    factors = (0, *(seen.report.get("other_factors") or ()))
    for partition in partitions:
        if not any(factor * count <= partition < (factor + 1) * count for factor in factors):
            some = " or ".join(f"{factor * count} to {(factor + 1) * count - 1}" for factor in factors)
            raise InvalidRequest(f"repair start: --partition: got {partition}, expected {some}")
    arguments = {"partitions": list(partitions)} if partitions else {}
    present = seen.present
    answers = order_all(client, present, "repair", arguments)
    if wait and any(each.report for each in answers.values()):
        reached = [member for member in present if answers[member.node].report]

        def look() -> Look:
            left = _left(ask_all(client, reached, "repair"), {member.node for member in reached})
            said = f"repair: {counted(left, 'comparison')} of a partition with another owner left"
            return Look(not left, said if left else "repair: all compared")

        watch(look, "repair goes on by itself; look again with `dynacache repair status`")
    done = "compared" if wait else "begins to compare"
    what = "all partitions" if not partitions else "partition " + ", ".join(map(str, partitions))
    return _ordered(answers, f"{done} {what}")


def _left(answers: Mapping[str, Answered], reached: set[str]) -> int:
    """Comparisons asked for and not done, with owners that can be reached. Raises UnavailableError if none answers."""
    if not any(each.report for each in answers.values()):
        raise UnavailableError("no member answers")
    rows = [row for each in answers.values() for row in each.report.get("peers", ()) if row["node"] in reached]
    return sum(row["requested_partitions"] for row in rows)


def repair_status(client: CacheClient, view: str | None = None) -> Answer:
    """Show how repair stands between each two owners."""
    answers = ask_all(client, survey(client, view).present, "repair")
    rows = []
    remarks = []
    for node, answered in answers.items():
        report = answered.report
        for row in report.get("peers", ()):
            last, changed = row["last_ms_ago"], row["dirty_partitions"]
            rows.append(
                (
                    *(node, row["node"], row["shared_partitions"], "many" if changed < 0 else changed),
                    *(row["settled_leaves"], row["requested_partitions"], cell(row["running"])),
                    "-" if last is None else f"{shown_span(last)} ago",
                    "now" if not row["due_in_ms"] else f"in {shown_span(row['due_in_ms'])}",
                )
            )
        if report:
            remarks.append(
                f"{node}: the oldest agreement of a partition is {shown_span(report['oldest_sync_ms_ago'])} old"
            )
        if report.get("stale_partitions"):
            remarks.append(f"{node}: {counted(report['stale_partitions'], 'partition')} stale, catching up first")
        if report.get("departing_partitions"):
            remarks.append(f"{node}: {counted(report['departing_partitions'], 'lost partition')} to be handed over")
    title = "repair: what each member knows to differ, and when it compares next"
    return _gathered(answers, "nodes", Rows(title, _REPAIR_COLUMNS, tuple(rows)), remarks)


def hints_list(client: CacheClient, view: str | None = None) -> Answer:
    """Show the hints that members hold for each other."""
    answers = ask_all(client, survey(client, view).present, "hints")
    rows = []
    ended = dict.fromkeys(_ENDS, 0)
    for node, answered in answers.items():
        for row in answered.report.get("targets", ()):
            next_s = row["next_replay_s"]
            rows.append(
                (
                    *(node, row["target"], row["hints"], shown_bytes(row["bytes"])),
                    *(shown_span(row["oldest_age_ms"]), "away" if next_s is None else shown_span(1000 * next_s)),
                )
            )
        for reason, count in (answered.report.get("ended") or {}).items():
            ended[reason] = ended.get(reason, 0) + count
    told = "ended so far: " + ", ".join(f"{count} {reason}" for reason, count in ended.items())
    return _gathered(answers, "nodes", Rows("hints", _HINT_COLUMNS, tuple(rows)), [told], {"ended": ended})


def handoff_status(client: CacheClient, view: str | None = None) -> Answer:
    """Show which members are being filled, and who gives."""
    answers = ask_all(client, survey(client, view).present, "handoff")
    rows = []
    for node, answered in answers.items():
        report = answered.report
        if report:
            waits = ", ".join(f"{name} ({count})" for name, count in (report.get("waiting_for") or {}).items())
            left_s = report.get("left_s")
            rows.append(
                (
                    *(node, report["partitions_left"], report["partitions_done"], shown_bytes(report["bytes_in"])),
                    *(shown_bytes(report["bytes_out"]), "-" if left_s is None else shown_span(1000 * left_s)),
                    *(f"{shown_bytes(report['limit_bytes_per_s'])}/s", waits or "-"),
                )
            )
    return _gathered(answers, "nodes", Rows("transfers", _HANDOFF_COLUMNS, tuple(rows)), [])


def handoff_limit(client: CacheClient, bytes_per_s: int, nodes: Sequence[str], view: str | None = None) -> Answer:
    """Hold the transfers of some members, or of all, to a rate until their processes end."""
    seen = survey(client, view)
    chosen: Sequence[Member] = [seen.member(node, "handoff limit") for node in nodes] or seen.present
    answers = order_all(client, chosen, "handoff_limit", {"bytes_per_s": bytes_per_s})
    return _ordered(answers, f"holds transfers to {shown_bytes(bytes_per_s)}/s until it is started again")


def _ordered(answers: Mapping[str, Answered], done: str) -> Answer:
    """What became of an order to many: exit code 4 if it did not reach all of them."""
    missed = {node: each.error for node, each in answers.items() if not each.report}
    lines = [f"{node}: {done}" for node, each in answers.items() if each.report]
    complaint = "; ".join(f"{node} was not reached: {error}" for node, error in missed.items())
    record: dict[str, Any] = {"reached": [node for node, each in answers.items() if each.report], "missed": missed}
    return Answer(
        record, text="\n".join(lines), complaint=complaint, exit_code=UnavailableError.exit_code if missed else 0
    )


def _gathered(
    answers: Mapping[str, Answered],
    name: str,
    rows: Rows,
    remarks: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> Answer:
    silent = [f"{node}: {each.error}" for node, each in answers.items() if not each.report]
    record = {name: {node: each.report or {"error": each.error} for node, each in answers.items()}, **(more or {})}
    return Answer(record, tables=(rows,), remarks=(*remarks, *silent))
