"""Contributions tell version sets apart, and a value that will leave a tombstone from nothing but that tombstone."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.placement import partitions
from dynacache.storage.contributions import (
    CONTRIBUTION_MASK,
    DELETED,
    LEAVES_TOMBSTONE,
    PLAIN_HEADS,
    PLAIN_PREFIX,
    PREFIX_BITS,
    contribution,
    digest,
    fingerprint,
    key_hash,
)
from dynacache.storage.records import is_tombstone
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, tombstone, value

SEED = 0xDEADBEEF


def test_the_hash_of_a_key_is_that_of_placement() -> None:
    assert all(key_hash(b"%d" % number) == partitions.key_hash(b"%d" % number) for number in range(100))


def test_what_is_local_to_a_process_does_not_count() -> None:
    record = value()
    assert record[0] != 0
    assert contribution(record, SEED) == contribution(packed.strip_local(record), SEED)


def test_versions_keys_and_clusters_differ() -> None:
    first = value()
    records = [first, value(old=first), value(ttl_ms=5), tombstone(old=first), tombstone(), packed.touch(value(), 7)]
    found = {contribution(record, seed) for record in records for seed in (1, 2)}
    assert len(found) == 2 * len(records)


def test_the_lowest_bits_are_kept_for_marks() -> None:
    issuer = ActorIssuer(3)
    for _ in range(50):
        assert contribution(value(issuer=issuer), SEED) & (DELETED | LEAVES_TOMBSTONE) == 0
        brief = value(old=value(issuer=issuer), ttl_ms=50, issuer=issuer)
        assert contribution(brief, SEED) & (DELETED | LEAVES_TOMBSTONE) == LEAVES_TOMBSTONE


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 10, 500])), min_size=1, max_size=6))
def test_an_expiry_that_leaves_a_tombstone_changes_nothing(steps: list[tuple[int, int]]) -> None:
    issuers = [ActorIssuer(number + 1) for number in range(3)]
    record: bytes | None = None
    for position, (writer, ttl_ms) in enumerate(steps):
        record = value(3, old=record, now_ms=START_MS + position, ttl_ms=ttl_ms, issuer=issuers[writer])
        left = packed.clean(record, START_MS + 1_000)
        if left is not None and left is not record and record[1] == packed.VALUE:
            assert is_tombstone(left)
            assert contribution(left, SEED) == contribution(record, SEED)
            assert contribution(record, SEED) & LEAVES_TOMBSTONE
        elif left is None:
            assert not contribution(record, SEED) & LEAVES_TOMBSTONE


@given(st.integers(0, 3), st.sampled_from([0, 9_000]), st.booleans())
def test_the_short_way_for_plain_records_gives_the_same(follows: int, ttl_ms: int, many: bool) -> None:
    record = value(ttl_ms=ttl_ms)
    for _ in range(follows):
        record = value(old=record, ttl_ms=ttl_ms)
    if many:
        record = packed.merge(record, value(issuer=ActorIssuer(9)))
    is_plain = record[1:4] in PLAIN_HEADS
    assert is_plain == (not many)
    if is_plain:
        assert digest(record[PLAIN_PREFIX], SEED) & CONTRIBUTION_MASK == contribution(record, SEED)


def test_a_fingerprint_begins_with_the_prefix() -> None:
    numbers = [fingerprint(b"%d" % number, 0x1234) for number in range(50)]
    assert {number >> 64 - PREFIX_BITS for number in numbers} == {0x1234}
    assert len(set(numbers)) == 50
    rest = 2 ** (64 - PREFIX_BITS) - 1
    assert numbers[7] & rest == partitions.fingerprint(b"7") & rest
