"""Names of the domain: their numbers are on the wire and never change."""

from dynacache.types import Level, MissReason, Role, WriteCondition


def test_numbers_on_the_wire_are_fixed() -> None:
    assert {level.name: int(level) for level in Level} == {
        "ONE": 1,
        "QUORUM": 2,
        "STRICT_QUORUM": 3,
        "ALL": 4,
        "STRONG": 5,
    }
    assert [int(reason) for reason in MissReason] == [0, 1, 2, 3, 4, 5]
    assert [condition.name for condition in WriteCondition] == ["NONE", "IF_ABSENT", "IF_PRESENT", "IF_VERSION"]
    assert [int(role) for role in (Role.CLIENT, Role.PEER, Role.BULK)] == [0, 1, 2]
