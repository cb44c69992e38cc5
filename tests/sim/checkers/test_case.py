import attrs
import msgpack

from dynacache.types import Level
from dynacache.versioning.kernel import EXPIRED, RAW, REGISTER, TOMBSTONE, Version
from sim.checkers.case import Case, value_of
from sim.history import OperationKind, StoreCause
from tests.sim.story import KEY, Story


def test_one_case_for_one_evidence() -> None:
    evidence = Story().evidence()
    assert Case.of(evidence) is Case.of(evidence)
    assert Case.of(attrs.evolve(evidence)) is not Case.of(evidence)


def test_operations_find_their_versions() -> None:
    story = Story()
    written = story.set("a", b"1:", "b")
    deleted = story.delete("b", "a")
    case = Case.of(story.evidence())
    dots = case.ledger.dots(KEY)
    assert [mint.dot for mint in case.mints_of(written)] == [dots[0]]
    assert [mint.dot for mint in case.mints_of(deleted)] == [dots[1]]
    assert [operation.number for operation, _ in case.acknowledged()] == [0, 1]
    assert case.acknowledged(Level.STRICT_QUORUM) == []


def test_a_refused_condition_was_not_applied() -> None:
    story = Story()
    case = Case.of(story.evidence())
    refused = story.call(OperationKind.SET_IF_PRESENT, result=False, value=b"1:")
    assert not case.applied(refused)
    assert case.applied(attrs.evolve(refused, kind=OperationKind.GET_AND_SET))


def test_a_long_chain_is_accounted_for() -> None:
    story = Story()
    for number in range(1_500):
        story.mint("a", b"%d:" % number)
    case = Case.of(story.evidence())
    assert all(case.accounted(KEY, dot) for dot in case.ledger.dots(KEY))
    story.drop("a", StoreCause.REMOVE)
    case = Case.of(story.evidence())
    assert not any(case.accounted(KEY, dot) for dot in case.ledger.dots(KEY))


def test_what_an_owner_handed_over_to_a_full_store_counts_as_evicted_there() -> None:
    """Seed 3266: of one copy, the only owner after the one that left had no room."""
    story = Story()
    story.mint("a", b"1:")
    story.drop("a", StoreCause.REMOVE)
    evidence = story.evidence()
    (snapshot,) = [each for name, each in evidence.snapshots.items() if name == "b"]
    full = attrs.evolve(
        evidence, snapshots={**evidence.snapshots, "b": attrs.evolve(snapshot, refused=frozenset({KEY}))}
    )
    dot = next(iter(Case.of(evidence).ledger.dots(KEY)))
    assert not Case.of(evidence).evicted(KEY, dot)
    assert Case.of(full).evicted(KEY, dot)


def test_values_are_what_a_reader_gets() -> None:
    def version(kind: int, flags: int, payload: bytes) -> Version:
        return Version(kind, flags, 1, 0, 1, payload)

    assert value_of(version(REGISTER, RAW, b"x")) == b"x"
    assert value_of(version(REGISTER, 0, msgpack.packb(b"x"))) == b"x"
    assert value_of(version(REGISTER, 0, msgpack.packb("text"))) is None
    assert value_of(version(REGISTER, 0, b"\xc1")) is None
    assert value_of(version(TOMBSTONE, EXPIRED, b"")) is None
