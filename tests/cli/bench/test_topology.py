"""From a member table to targets and owners."""

import pytest

from dynacache.cli.bench.topology import topology_from_wire, topology_of
from dynacache.errors import DynacacheError, InvalidOption
from dynacache.placement.placement import Placement
from tests.cli.bench.fake_node import FakeNode, table_of


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_a_partition_is_asked_of_its_first_owner(nodes: int) -> None:
    table = table_of(*range(1001, 1001 + nodes))
    found = topology_from_wire(table.to_wire())
    assert sorted(found.targets) == [("127.0.0.1", 1001 + number) for number in range(nodes)]
    for asked, owners in zip(found.owners, Placement.from_table(table).owners_by_partition, strict=True):
        assert [f"n{found.targets[position][1]}" for position in asked] == [owners[0]]


def test_a_node_is_asked() -> None:
    with FakeNode() as node:
        assert topology_of(f"127.0.0.1:{node.port}", "").targets == (("127.0.0.1", node.port),)


def test_what_is_no_address_or_no_table_is_said() -> None:
    with pytest.raises(InvalidOption, match="--server"):
        topology_of("nowhere", "")
    with pytest.raises(DynacacheError):
        topology_from_wire([b"", 3, 1, []])
