"""What the store reads from a record agrees with what the kernel decodes."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.records import deleted_ms, due_of, is_tombstone, read_times, value_bytes
from dynacache.versioning import packed
from dynacache.versioning.actors import ActorIssuer
from tests.storage.builders import START_MS, tombstone, value


@given(st.integers(0, 2_000), st.integers(0, 10**9))
def test_a_value(length: int, ttl_ms: int) -> None:
    record = value(length, ttl_ms=ttl_ms)
    expire_ms = START_MS + ttl_ms if ttl_ms else 0
    assert read_times(record) == (START_MS << 16, expire_ms)
    assert value_bytes(record) == length
    assert not is_tombstone(record)
    assert (due_of(record) == 0) == (ttl_ms == 0)
    assert due_of(record) * 1000 >= expire_ms


def test_a_delete_is_as_old_as_its_time() -> None:
    record = tombstone(now_ms=START_MS + 5)
    assert is_tombstone(record)
    assert deleted_ms(record) == START_MS + 5
    assert due_of(record) == 0
    assert value_bytes(record) == 0


def test_a_tombstone_left_by_an_expiry_is_as_old_as_the_expiry() -> None:
    forever = value()
    brief = value(old=forever, now_ms=START_MS + 1, ttl_ms=50)
    left = packed.clean(brief, START_MS + 60)
    assert left is not None, "the older version would have lived on"
    assert is_tombstone(left)
    assert deleted_ms(left) == START_MS + 51


def test_concurrent_deletes_are_a_tombstone_as_old_as_the_later_one() -> None:
    first = tombstone(now_ms=START_MS, issuer=ActorIssuer(5))
    second = tombstone(now_ms=START_MS + 9, issuer=ActorIssuer(6))
    both = packed.merge(packed.strip_local(first), packed.strip_local(second))
    assert both[1] == packed.MANY
    assert is_tombstone(both)
    assert deleted_ms(both) == START_MS + 9


def test_a_delete_beside_a_concurrent_value_is_not_a_tombstone() -> None:
    deleted = tombstone(issuer=ActorIssuer(5))
    written = value(issuer=ActorIssuer(6))
    assert not is_tombstone(packed.merge(packed.strip_local(deleted), packed.strip_local(written)))
