"""What an operator orders a node to do: join, leave, drain, remove a dead member, repair, hold transfers to a rate,
set up namespaces.

What: ``Commands.carry_out`` serves the ``COMMAND`` message. Each order is one row of a table: a method, and the
arguments that it takes with their types. The answer is a map that tells what has begun; how it goes on is asked for by
reports (``change``, ``repair``, ``handoff``).

Invariant: an order is checked as a whole before anything is done, and carried out at once or refused with a sentence;
what takes time goes on by itself. A change of the catalogue is answered when it has reached its level. The same order
twice is as good as once, so clients may repeat it. An order that names another node than this one is refused with that
node's address: orders are not passed on.

Who may order: whoever has proven the cluster secret in the hello, like any client today; roles come later. Each
order is noted in the log, with its arguments (none of them is a key or a value).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from pyroaring import BitMap

from dynacache.errors import DynacacheError, InvalidRequest, NotReady
from dynacache.events import ConnectionId, Message
from dynacache.node.namespace_orders import Later
from dynacache.types import NodeId
from dynacache.wire.messages import REPORTED

if TYPE_CHECKING:
    from dynacache.node.core import Node

__all__ = ["Commands"]

_PARTITIONS_LIMIT = 65_536
_NODE = {"node": str}
_SHOWN_CHARACTERS = 80
_UNHEARD_S = 30.0
"""A member that was never heard of is removed no earlier than this after its silence was noticed."""


@attrs.frozen
class _Order:
    """One row of the table: what carries it out, the arguments that it must have, and those that it may have."""

    carry_out: Callable[..., dict[str, Any] | Later]
    required: Mapping[str, type]
    optional: Mapping[str, type] = {}


@attrs.define(eq=False)
class Commands:
    """The orders that one node takes."""

    node: "Node"
    _orders: Mapping[str, _Order] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Build the table."""
        self._orders = {
            "drain": _Order(self._drain, _NODE, {"undo": bool}),
            "handoff_limit": _Order(self._handoff_limit, {"bytes_per_s": int}),
            "join": _Order(self._join, _NODE),
            "leave": _Order(self._leave, _NODE),
            "namespace_drop": _Order(self.node.namespaces.drop, {"name": str}, {"version": int, "write_level": int}),
            "namespace_set": _Order(
                self.node.namespaces.change, {"name": str, "options": dict}, {"version": int, "write_level": int}
            ),
            "remove": _Order(self._remove, _NODE),
            "repair": _Order(self._repair, {}, {"partitions": list}),
        }

    def carry_out(self, connection: ConnectionId, message: Message) -> None:
        """Carry one order out and answer it. Raises an error of the tree, with nothing changed."""
        name = message[2] if len(message) > 2 else None
        arguments = message[3] if len(message) > 3 and message[3] is not None else {}
        order = self._orders.get(name) if isinstance(name, str) else None
        if order is None:
            raise InvalidRequest(f"command: got {_shown(name)}, expected one of {', '.join(self._orders)}")
        _check(f"{name}", arguments, order)
        if self.node.closing.is_ending:
            raise NotReady("this node is stopping; it takes no commands any more")
        result = order.carry_out(**arguments)
        if isinstance(result, Later):
            self._later(connection, message[1], result)
        else:
            self.node.shared.effects.send(connection, (REPORTED, message[1], result))
        fields: dict[str, Any] = {
            key: len(value) if isinstance(value, list) else value for key, value in arguments.items()
        }
        self.node.shared.note("operator.command", "info", **{"command": name, **fields})

    def _later(self, connection: ConnectionId, rid: int, later: Later) -> None:
        """Change the catalogue, and answer when that has reached its level."""
        shared = self.node.shared

        def finished(error: DynacacheError | None) -> None:
            if error is None:
                shared.effects.send(connection, (REPORTED, rid, later.answer()))
            else:
                shared.fail(connection, rid, error)

        timeout_ms = shared.settings.write_timeout_ms
        self.node.catalogue_sync.change(later.entries, later.level, timeout_ms, finished)

    def _join(self, node: NodeId) -> dict[str, Any]:
        self._require_own("join", node)
        self.node.ring.request_join()
        return self.node.reports.change()

    def _leave(self, node: NodeId) -> dict[str, Any]:
        self._require_own("leave", node)
        self.node.ring.request_leave()
        return self.node.reports.change()

    def _drain(self, node: NodeId, undo: bool = False) -> dict[str, Any]:
        self._require_own("drain", node)
        self.node.closing.drain(not undo)
        return self.node.reports.node_itself()

    def _remove(self, node: NodeId) -> dict[str, Any]:
        self._require_heard_of(node)
        self.node.ring.request_remove(node)
        return self.node.reports.change()

    def _repair(self, partitions: list[Any] | None = None) -> dict[str, Any]:
        placement = self.node.members.placement
        for partition in partitions or ():
            if type(partition) is not int or not placement.has(partition):
                some = " or ".join(f"{numbers.start} to {numbers.stop - 1}" for numbers in placement.partitions)
                raise InvalidRequest(f"repair: partition: got {_shown(partition)}, expected {some}")
        self.node.exchange.repair_now(None if partitions is None else BitMap(partitions))
        return self.node.reports.repair()

    def _handoff_limit(self, bytes_per_s: int) -> dict[str, Any]:
        if bytes_per_s <= 0:
            raise InvalidRequest(f"handoff_limit: got {bytes_per_s}, expected a number of bytes a second above 0")
        self.node.transfer.set_limit(bytes_per_s)
        return self.node.reports.handoff()

    def _require_heard_of(self, node: NodeId) -> None:
        """A node that was started a moment ago holds everybody dead that it has not heard of yet."""
        known = node in self.node.members.table.entries
        unheard = node != self.node.node_id and self.node.members.swim.member(node) is None
        if known and unheard and self.node.ring.removals.down_for_s(node) < _UNHEARD_S:
            raise NotReady(f"remove: {self.node.node_id} has not heard of {node} yet; ask another member, or wait")

    def _require_own(self, command: str, node: NodeId) -> None:
        """Refuse an order for another node, and say where it belongs."""
        if node == self.node.node_id:
            return
        entries = self.node.members.table.entries
        if node not in entries:
            raise InvalidRequest(f"{command}: got node {_shown(node)}, expected one of {', '.join(entries)}")
        entry = entries[node]
        raise InvalidRequest(
            f"{command}: this is {self.node.node_id}; the command for {node} belongs to {entry.host}:{entry.port}"
        )


def _check(name: str, arguments: object, order: _Order) -> None:
    """Refuse arguments that are missing, unknown or of another type."""
    if not isinstance(arguments, dict):
        raise InvalidRequest(f"{name}: got {_shown(arguments)}, expected a map of arguments")
    known = {**order.required, **order.optional}
    for argument, value in arguments.items():
        if argument not in known:
            expected = ", ".join(known) or "no arguments"
            raise InvalidRequest(f"{name}: got the argument {_shown(argument)}, expected {expected}")
        if type(value) is not known[argument]:
            raise InvalidRequest(f"{name}: {argument}: got {_shown(value)}, expected {known[argument].__name__}")
        if isinstance(value, list) and len(value) > _PARTITIONS_LIMIT:
            raise InvalidRequest(f"{name}: {argument}: got {len(value)}, expected at most {_PARTITIONS_LIMIT}")
    for argument in order.required:
        if argument not in arguments:
            raise InvalidRequest(f"{name}: expected the argument {argument}")


def _shown(value: object) -> str:
    return f"{value!r:.{_SHOWN_CHARACTERS}}"
