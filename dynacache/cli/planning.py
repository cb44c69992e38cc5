"""The command that tells what a change would move, before it is done: `cluster plan`.

What: `plan` takes the member table of one node and the figures of all, computes the placement with the change and
without it, and shows partitions gained and lost by each node, bytes, balance and zones beside the least that must move.

Invariant: nothing is changed, here or there. The bytes are an estimate: copies times the mean bytes of one copy, by the
figures of the members that answered; without any, a dash.

Why computed here: it is a pure function of the table (`dynacache/placement/plan.py`), so no node has to stop for it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from dynacache.cli.asking import Answered, ask_all, survey
from dynacache.cli.output import Answer, Rows
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import cell, counted, shown_bytes
from dynacache.errors import InvalidOption
from dynacache.placement.plan import Change, ChangeKind
from dynacache.placement.plan import plan as plan_of
from dynacache.placement.table import MemberTable

if TYPE_CHECKING:
    from dynacache.placement.plan import Plan

__all__ = ["Wanted", "plan"]

_COLUMNS = ("node", "partitions now", "then", "gains", "loses", "takes in", "gives up")


@attrs.frozen
class Wanted:
    """What the command line asks to be planned; zone and weight are those of joiners that no node knows yet."""

    join: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    zone: str = ""
    weight: int = 1

    def changes(self) -> list[Change]:
        """The changes in order. Raises InvalidOption where there are none."""
        found = [Change(ChangeKind.JOIN, node, self.zone, self.weight) for node in self.join]
        found += [Change(ChangeKind.LEAVE, node) for node in self.leave]
        found += [Change(ChangeKind.REMOVE, node) for node in self.remove]
        if not found:
            raise InvalidOption("cluster plan: got no change, expected --join, --leave or --remove with a node")
        return found


def plan(client: CacheClient, wanted: Wanted, view: str | None = None) -> Answer:
    """Show what changes would move."""
    changes = wanted.changes()
    seen = survey(client, view)
    report: Mapping[str, Any] = client.report("table", address=view)
    found = plan_of(MemberTable.from_wire(report["table"]), changes)
    copy_bytes = _bytes_of_a_copy(ask_all(client, seen.present, "node"))
    record = _record(found, changes, copy_bytes)
    rows = tuple(_row(share) for share in record["nodes"])
    asked = ", ".join(f"{change.kind.value} {change.node_id}" for change in changes)
    return Answer(
        record, tables=(Rows(f"plan: {asked}; nothing is changed", _COLUMNS, rows),), remarks=_remarks(found, record)
    )


def _bytes_of_a_copy(answers: Mapping[str, Answered]) -> float | None:
    """The mean bytes of one copy of a partition, None where nobody tells."""
    told = [each.report for each in answers.values() if each.report.get("owned_partitions")]
    copies = sum(report["owned_partitions"] for report in told)
    return sum(report["entries_bytes"] for report in told) / copies if copies else None


def _record(found: "Plan", changes: Sequence[Change], copy_bytes: float | None) -> dict[str, Any]:
    def estimated(copies: float) -> int | None:
        return None if copy_bytes is None else round(copies * copy_bytes)

    return {
        "changes": [{"change": change.kind.value, "node": change.node_id} for change in changes],
        "nodes": [
            {
                "node": share.node_id,
                "before": share.before,
                "after": share.after,
                "gained": share.gained,
                "lost": share.lost,
                "bytes_in": estimated(share.gained),
                "bytes_out": estimated(share.lost),
            }
            for share in found.shares
        ],
        "moved_copies": found.moved_copies,
        "all_copies": found.all_copies,
        "moved_share": found.moved_share,
        "ideal_moved_copies": found.ideal_moved_copies,
        "moved_over_ideal": found.moved_over_ideal,
        "moved_bytes": estimated(found.moved_copies),
        "most_owners_changed": found.most_owners_changed,
        "balance_before": found.balance_before.max_over_mean,
        "balance_after": found.balance_after.max_over_mean,
        "zone_violations_before": found.zone_violations_before,
        "zone_violations_after": found.zone_violations_after,
    }


def _row(share: Mapping[str, Any]) -> tuple[object, ...]:
    sizes = (None if share[name] is None else shown_bytes(share[name]) for name in ("bytes_in", "bytes_out"))
    counts = (share[name] for name in ("before", "after", "gained", "lost"))
    return (share["node"], *counts, *(cell(size) for size in sizes))


def _remarks(found: "Plan", record: Mapping[str, Any]) -> tuple[str, ...]:
    size = "bytes not known" if record["moved_bytes"] is None else f"about {shown_bytes(record['moved_bytes'])}"
    moved = (
        f"moves {counted(found.moved_copies, 'copy', 'copies')} of {found.all_copies} ({found.moved_share:.1%}), {size}"
    )
    if found.ideal_moved_copies:
        moved += (
            f"; by weight {found.ideal_moved_copies:.0f} must move, this is {found.moved_over_ideal:.2f} times that"
        )
    fullest = [f"{figures.max_over_mean:.2f}" for figures in (found.balance_before, found.balance_after)]
    zones = f"{found.zone_violations_before} before, {found.zone_violations_after} after"
    remarks = [
        moved,
        f"any partition changes at most {counted(found.most_owners_changed, 'owner')}",
        f"fullest node over the mean, by weight: {fullest[0]} before, {fullest[1]} after",
        f"partitions with too many copies in one zone: {zones}",
    ]
    if found.most_owners_changed > 1:
        remarks.append("do these one after the other: each waits until the one before has ended")
    if found.all_copies < sum(share.before for share in found.shares):
        remarks.append("fewer copies than now will be kept: too few members are left for as many")
    return tuple(remarks)
