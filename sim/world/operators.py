"""What an operator does to a node: asks it for something, and starts its process with another setting.

What: ``command`` calls a running node between two of its turns and performs what comes of it, as a command from a
client would within one; ``wants_place`` has the next process of a machine take a place in the ring.

Invariant: what the node refuses, and what a paused process is asked, changes nothing.

Why not over a connection: what is tested is the change of the ring, under any network; the way of the operator's
request to the node has tests of its own.
"""

from collections.abc import Callable

import attrs

from dynacache.errors import InvalidRequest
from dynacache.events import Effects
from dynacache.node import Node

from .machine import Machine

__all__ = ["command", "wants_place"]


def command(machine: Machine, what: Callable[[Node], None]) -> bool:
    """Ask a machine's node for something; False where none runs, it stands still, it is stopping or it refuses."""
    process = machine.process
    if process is None or process.node is None or machine.paused or process.node.closing.is_ending:
        return False
    shared = process.node.shared
    shared.effects = effects = Effects()
    try:
        what(process.node)
    except InvalidRequest:
        return False
    machine._perform(process, effects)
    machine._soon()
    return True


def wants_place(machine: Machine) -> None:
    """From its next start on, a process of this machine takes a place where it has none."""
    machine.config = attrs.evolve(machine.config, cluster=attrs.evolve(machine.config.cluster, join=True))
