"""How the cluster is born and how keys are placed.

What: founders, seeds, the two numbers that are fixed for the life of a cluster, and when members come and go.

Invariant: ``partition_count`` is a power of two; a seed is a ``host:port``.

Why: the birth record carries partition count and replication factor, so that two founders who were started with
different numbers refuse each other instead of placing keys differently (DESIGN section 6).
"""

from typing import Any

import attrs

from dynacache.errors import InvalidOption

__all__ = ["ClusterConfig", "parse_address"]


def parse_address(text: str, option: str) -> tuple[str, int]:
    """Return (host, port) of ``host:port`` or ``[v6]:port``; raises ``InvalidOption`` naming ``option``."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise InvalidOption(f"{option}: got {text!r}, expected host:port with a port between 0 and 65535")
    return host, int(port)


def _power_of_two(_: Any, attribute: "attrs.Attribute[int]", value: int) -> None:
    if not 16 <= value <= 65_536 or value & (value - 1):
        raise InvalidOption(f"cluster.{attribute.name}: got {value}, expected a power of two between 16 and 65536")


def _addresses(_: Any, attribute: "attrs.Attribute[tuple[str, ...]]", value: tuple[str, ...]) -> None:
    for seed in value:
        parse_address(seed, f"cluster.{attribute.name}")


@attrs.frozen
class ClusterConfig:
    """Birth and placement."""

    founders: int | None = attrs.field(default=None)
    """How many nodes found the cluster together (1 for a single node). None: this node only joins through seeds."""

    @founders.validator
    def _check_founders(self, _: Any, value: int | None) -> None:
        if value is not None and not 1 <= value <= 1024:
            raise InvalidOption(f"cluster.founders: got {value}, expected a number between 1 and 1024")

    seeds: tuple[str, ...] = attrs.field(default=(), converter=tuple, validator=_addresses)
    """Addresses ``host:port`` of nodes that may know the cluster; any one of them is enough to join it. A founder waits
    for an answer of each, since one that is silent may know a cluster already."""

    partition_count: int = attrs.field(default=1024, validator=_power_of_two)
    """Partitions of the key space, fixed at birth. 1,024 suits up to 20 nodes, 4,096 more. More partitions balance
    better and cost a little memory each."""

    replication_factor: int = attrs.field(default=3)
    """Copies of every key (N), fixed at birth. More copies survive more losses and cost as many times the memory."""

    @replication_factor.validator
    def _check_replication_factor(self, _: Any, value: int) -> None:
        if not 1 <= value <= 9:
            raise InvalidOption(f"cluster.replication_factor: got {value}, expected a number between 1 and 9")

    join_timeout_s: float = 10.0
    """Seconds a start waits for any seed to answer before it gives up."""

    cluster_id: str = attrs.field(default="")
    """Hexadecimal id of the only cluster this node may join; empty means any. Nothing is founded where it is given, so
    a node of a known cluster can never end up in another."""

    @cluster_id.validator
    def _check_cluster_id(self, _: Any, value: str) -> None:
        if value and (len(value) != 32 or any(letter not in "0123456789abcdef" for letter in value)):
            raise InvalidOption(f"cluster.cluster_id: got {value!r}, expected 32 hexadecimal digits or nothing")

    join: bool = False
    """Whether this node, where it has no place, becomes an owner by itself once it has met the cluster. A founder is
    one anyway; a node that was an owner when it stopped still is."""

    auto_remove_after_s: float = attrs.field(default=0.0)
    """Seconds after which a member that is down is removed by itself, and its partitions are filled elsewhere; 0 never.
    Sooner restores the number of copies sooner; but a node that comes back later has lost its place, and all that it
    owned moves twice. Nothing is removed where more than half of the members cannot be reached."""

    join_undo_after_s: float = attrs.field(default=60.0)
    """Seconds after which a member that went down while it was joining or leaving is removed by itself, as it holds up
    every other change; 0 never."""

    change_interval_s: float = attrs.field(default=10.0)
    """Least seconds between two changes of this node's place, so that a flapping one does not move data to and fro."""

    @auto_remove_after_s.validator
    @join_undo_after_s.validator
    @change_interval_s.validator
    def _check_seconds(self, attribute: "attrs.Attribute[float]", value: float) -> None:
        if not value >= 0:
            raise InvalidOption(f"cluster.{attribute.name}: got {value}, expected 0 or more seconds")
