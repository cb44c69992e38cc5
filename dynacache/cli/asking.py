"""Asking the members of a cluster, one or all of them at once.

What: `survey` asks one node for its view and gives the members with their addresses; `ask_all` asks every member that
is held alive for a report, side by side; `order_all` gives each of them the same order.

Invariant: whoever does not answer is in the result all the same, with the reason, so nothing that is shown about "the
cluster" silently leaves a node out. A member that is held dead is not waited for.

Why the command line asks around and not a node: a node answers for itself, and a gathering node would be one more thing
that can fail while an operator looks for what has failed.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from dynacache.cli.session import CacheClient
from dynacache.errors import DynacacheError, InvalidRequest

__all__ = ["ASK_TIMEOUT_S", "Answered", "Member", "Survey", "ask_all", "order_all", "survey"]

ASK_TIMEOUT_S = 3.0
"""Seconds that one member is given to answer where many are asked."""

_AT_ONCE = 16
_DOWN = ("dead", "left")
_GONE = ("left", "removed")


@attrs.frozen
class Member:
    """One member as the node that was asked sees it."""

    node: str
    address: str
    state: str
    """What the gossip says."""
    place: str
    """What the member table says."""
    told: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)

    @property
    def is_down(self) -> bool:
        """Whether there is no point in asking it."""
        return self.state in _DOWN or self.place in _GONE


@attrs.frozen
class Answered:
    """What one member answered, or why it did not (then the report is empty)."""

    report: Mapping[str, Any] = attrs.field(factory=dict)
    error: str = ""


@attrs.frozen
class Survey:
    """One node's view of the cluster."""

    report: Mapping[str, Any]
    members: tuple[Member, ...]

    def member(self, node: str, command: str) -> Member:
        """The member of this name. Raises InvalidRequest that names all."""
        for member in self.members:
            if member.node == node:
                return member
        names = ", ".join(member.node for member in self.members)
        raise InvalidRequest(f"{command}: got {node!r}, expected one of {names}")

    @property
    def present(self) -> tuple[Member, ...]:
        """Members that have not left and were not removed."""
        return tuple(member for member in self.members if member.place not in _GONE)


def survey(client: CacheClient, view: str | None) -> Survey:
    """Ask one node (`view`, or whichever answers) who belongs to the cluster."""
    report: Mapping[str, Any] = client.report("status", address=view)
    rows: Sequence[Mapping[str, Any]] = report.get("members", ())
    members = tuple(
        Member(row["node"], row.get("address", ""), row.get("state", ""), row.get("place", ""), row) for row in rows
    )
    return Survey(report, members)


def ask_all(client: CacheClient, members: Sequence[Member], topic: str, argument: Any = None) -> dict[str, Answered]:
    """Ask every member for a report; the answers by node, in the order of the members."""
    return _each(members, lambda address: client.report(topic, argument, address=address, timeout=ASK_TIMEOUT_S))


def order_all(
    client: CacheClient, members: Sequence[Member], command: str, arguments: Mapping[str, Any]
) -> dict[str, Answered]:
    """Give every member the same order; what each answered by node, in the order of the members."""
    return _each(members, lambda address: client.command(command, arguments, address=address, timeout=ASK_TIMEOUT_S))


def _each(members: Sequence[Member], ask: Callable[[str], Any]) -> dict[str, Answered]:
    def answer(member: Member) -> Answered:
        if member.is_down:
            return Answered(error=f"{member.state}, not asked")
        try:
            return Answered(ask(member.address))
        except (DynacacheError, OSError) as error:
            return Answered(error=" ".join(str(error).split()) or type(error).__name__)

    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(members)))) as pool:
        answers = list(pool.map(answer, members))
    return {member.node: answered for member, answered in zip(members, answers, strict=True)}
