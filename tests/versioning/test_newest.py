"""Last write wins: one value is left, the newest, the same everywhere; what it has beaten never comes back."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from dynacache.versioning.kernel import COUNTER, FILL, MAY_BE_OUTLIVED, REGISTER
from dynacache.versioning.layout import MANY, VALUE, decode
from dynacache.versioning.newest import keep_newest
from tests.strategies import record_lists

NOW = 1_000_000


def written(value: bytes, time: int, by: int, ttl_ms: int = 0, flags: int = packed.RAW) -> bytes:
    expire_ms = NOW + ttl_ms if ttl_ms else 0
    return packed.write(None, ActorIssuer(by), time, expire_ms, flags, value, NOW)[1]


def taken(held: bytes, incoming: bytes) -> bytes:
    """What a store of mode last_write_wins holds after a merge."""
    merged = packed.merge(held, incoming)
    return keep_newest(merged)[0] if merged[1] == MANY else merged


@given(record_lists(4), st.randoms(use_true_random=False))
def test_replicas_converge_whatever_the_order(records: list[bytes], random: object) -> None:
    replicas = [packed.strip_local(record) for record in records]
    for _ in range(3):
        for one in range(len(replicas)):
            others = list(range(len(replicas)))
            random.shuffle(others)  # type: ignore[attr-defined]
            for other in others:
                replicas[one] = taken(replicas[one], replicas[other])
    assert len(set(replicas)) == 1
    versions = [version for version in decode(replicas[0]).dots.values() if version.kind != COUNTER]
    assert len(versions) <= 1


@given(record_lists(2))
def test_a_reduced_record_is_well_formed_and_covers_what_it_left_out(records: list[bytes]) -> None:
    merged = packed.merge(packed.strip_local(records[0]), packed.strip_local(records[1]))
    reduced, lost = keep_newest(merged) if merged[1] == MANY else (merged, 0)
    assert packed.is_well_formed(reduced)
    before, after = decode(merged), decode(reduced)
    assert after.context == before.context
    assert set(after.dots) <= set(before.dots)
    values = [sum(v.kind == REGISTER for v in state.dots.values()) for state in (before, after)]
    assert lost == values[0] - values[1]
    # Bringing back what was left out changes nothing.
    assert keep_newest(packed.merge(reduced, merged))[0] == reduced if reduced[1] == MANY else True
    assert taken(reduced, merged) == reduced


def test_the_newest_by_time_wins_and_one_value_is_counted_lost() -> None:
    older, newer = written(b"older", 5, by=9), written(b"newer", 6, by=3)
    for merged in (packed.merge(older, newer), packed.merge(newer, older)):
        reduced, lost = keep_newest(merged)
        assert (reduced[1], reduced.endswith(b"newer"), lost) == (VALUE, True, 1)


def test_a_delete_competes_by_time() -> None:
    value = written(b"value", 5, by=9)
    late = packed.delete(None, ActorIssuer(3), 6, NOW)[1]
    early = packed.delete(None, ActorIssuer(3), 4, NOW)[1]
    assert keep_newest(packed.merge(value, late))[0][1] == packed.TOMBSTONE
    assert keep_newest(packed.merge(value, early))[0][1] == VALUE


def test_a_fill_loses_to_any_write() -> None:
    fill, value = written(b"fill", 9, by=9, flags=packed.RAW | FILL), written(b"value", 5, by=3)
    assert keep_newest(packed.merge(fill, value))[0].endswith(b"value")


def test_a_winner_that_ends_first_leaves_a_tombstone() -> None:
    lasting, short = written(b"lasting", 5, by=9), written(b"short", 6, by=3, ttl_ms=10)
    reduced, _ = keep_newest(packed.merge(lasting, short))
    assert reduced[2] & MAY_BE_OUTLIVED
    left = packed.clean(reduced, NOW + 10)
    assert left is not None
    assert taken(left, lasting) == left  # the loser does not come back
    longer = written(b"longer", 7, by=4, ttl_ms=20)
    reduced, _ = keep_newest(packed.merge(short, longer))
    assert not reduced[2] & MAY_BE_OUTLIVED
