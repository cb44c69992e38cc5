"""The commands that change who belongs to the cluster: `cluster join`, `leave`, `drain`, `remove`.

What: each finds the node's address in the member table, gives the order to the node that it concerns (a removal: to any
member), and on demand watches until it is done.

Invariant: an order is given or refused at once; the change itself goes on by itself, and interrupting the command does
not interrupt it. Nothing is removed without ``--yes`` or the node's name typed at a terminal.

Why a removal asks and the others do not: a join, a leave and a drain can be taken back; a removed node has lost its
place, and all that it owned moves.
"""

import sys
from collections.abc import Mapping
from typing import Any

from dynacache.cli.asking import Member, survey
from dynacache.cli.output import Answer
from dynacache.cli.session import CacheClient
from dynacache.cli.shown import counted, shown_bytes
from dynacache.cli.waiting import Look, watch
from dynacache.errors import DynacacheError, InvalidOption, UnavailableError

__all__ = ["confirm_removal", "drain", "join", "leave", "remove"]

_WISHES = {"joining": "join", "leaving": "leave"}
_LOOK = "look again with `dynacache cluster status`"


def join(client: CacheClient, node: str, wait: bool, view: str | None = None) -> Answer:
    """Have a node that serves without a place become an owner."""
    member = survey(client, view).member(node, "join")
    _require_answering(member, "join")
    report: Mapping[str, Any] = client.command("join", {"node": node}, address=member.address)
    if not wait:
        return Answer(report, text=f"{node} joins: {_progress(report)}; {_LOOK}")

    def look() -> Look:
        nonlocal report
        report = client.report("change", address=member.address)
        return Look(report.get("state") == "normal" and not report.get("wants"), f"{node}: {_progress(report)}")

    watch(look, f"{node} goes on joining by itself; {_LOOK}")
    return Answer(report, text=f"{node} has joined")


def leave(client: CacheClient, node: str, wait: bool, view: str | None = None) -> Answer:
    """Have a node give its place up, hand over, and end."""
    member = survey(client, view).member(node, "leave")
    _require_answering(member, "leave")
    report: Mapping[str, Any] = client.command("leave", {"node": node}, address=member.address)
    if not wait:
        return Answer(report, text=f"{node} leaves: {_progress(report)}; {_LOOK}")

    def look() -> Look:
        nonlocal report
        try:
            report = client.report("change", address=member.address, timeout=2.0)
        except (DynacacheError, OSError):
            # It ends by itself once it has left; the others know whether it has.
            seen = survey(client, None).member(node, "leave")
            if seen.place != "left":
                raise
            return Look(True, f"{node}: has ended")
        return Look(False, f"{node}: {_progress(report)}")

    watch(look, f"{node} goes on leaving by itself; {_LOOK}")
    return Answer({**report, "state": "left"}, text=f"{node} has left and ended")


def drain(client: CacheClient, node: str, undo: bool, wait: bool, view: str | None = None) -> Answer:
    """Have a node refuse clients and hand its hints over, while it keeps its place; or serve them again."""
    member = survey(client, view).member(node, "drain")
    _require_answering(member, "drain")
    report: Mapping[str, Any] = client.command("drain", {"node": node, "undo": undo}, address=member.address)
    if undo:
        return Answer(report, text=f"{node} serves again" if report.get("ready") else f"{node}: {report.get('reason')}")
    if not wait:
        return Answer(report, text=f"{node} serves no clients any more; {_LOOK}")

    def look() -> Look:
        nonlocal report
        report = client.report("node", address=member.address)
        hints = sum((report.get("hints") or {}).values())
        left = f"{counted(hints, 'hint')} to hand over, {counted(report.get('in_flight', 0), 'request')} in flight"
        return Look(bool(report.get("handed_over")), f"{node}: {left}")

    watch(look, f"{node} stays drained; serve again with `dynacache cluster drain {node} --undo`")
    return Answer(report, text=f"{node} serves no clients and holds nothing for others: it may be stopped")


def confirm_removal(node: str, yes: bool) -> None:
    """Have a removal confirmed. Raises InvalidOption without ``--yes`` where nobody can be asked, or is not sure."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidOption(
            f"cluster remove {node}: got no confirmation, expected --yes (there is no terminal to ask on)"
        )
    print(f"{node} loses its place for good, and all that it owned is filled again elsewhere.", file=sys.stderr)
    print("Type its name to remove it: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline().strip()
    if typed != node:
        raise InvalidOption(f"cluster remove {node}: got {typed!r}, expected its name; nothing was changed")


def remove(client: CacheClient, node: str, wait: bool, view: str | None = None) -> Answer:
    """Remove a member that is held dead."""
    survey(client, view).member(node, "remove")
    report: Mapping[str, Any] = client.command("remove", {"node": node}, address=view)
    if not wait:
        return Answer(report, text=f"{node} is being removed; {_LOOK}")
    place = ""

    def look() -> Look:
        nonlocal place
        place = survey(client, view).member(node, "remove").place
        return Look(place == "removed", f"{node}: {place if place == 'removed' else f'{place}, about to be removed'}")

    watch(look, f"the removal of {node} goes on by itself; {_LOOK}")
    return Answer({"node": node, "place": place}, text=f"{node} was removed; what it owned is being filled elsewhere")


def _require_answering(member: Member, command: str) -> None:
    if member.is_down:
        held = member.place if member.place in ("left", "removed") else member.state
        raise UnavailableError(f"{command}: {member.node} is {held}; it takes no commands")


def _progress(report: Mapping[str, Any]) -> str:
    """How far a node's change has come, in one line."""
    parts = [str(report.get("state", "-"))]
    if report.get("wants"):
        parts.append(f"asked to {_WISHES.get(report['wants'], report['wants'])}")
    handoff: Mapping[str, Any] = report.get("handoff") or {}
    if handoff.get("partitions_left"):
        left = f"{handoff['partitions_left']} partitions to be filled, {shown_bytes(handoff.get('bytes_in', 0))} so far"
        if handoff.get("left_s"):
            left += f", about {handoff['left_s']:.0f} s left"
        parts.append(left)
    elif report.get("waiting_for") and report["waiting_for"] != "nothing":
        parts.append(f"waits for {report['waiting_for']}")
    return ", ".join(parts)
