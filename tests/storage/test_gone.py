"""The memory of keys that went: what it says is true, the latest are known, its size is constant."""

from hypothesis import given
from hypothesis import strategies as st

from dynacache.storage.contributions import key_hash
from dynacache.storage.gone import GoneKeys, slots_of
from dynacache.types import MissReason

_KEYS = st.binary(min_size=1, max_size=6)
_REASONS = st.sampled_from([MissReason.EXPIRED, MissReason.DELETED, MissReason.EVICTED])


@given(added=st.lists(st.tuples(_KEYS, _REASONS), max_size=50), asked=_KEYS)
def test_what_is_known_was_said_last_and_the_last_one_is_known(
    added: list[tuple[bytes, MissReason]], asked: bytes
) -> None:
    memory = GoneKeys(256)
    for key, reason in added:
        memory.add(key, reason)
        assert memory.reason(key) == reason
    assert memory.reason(asked) in (dict(added).get(asked), MissReason.NEVER_WRITTEN)


def test_most_of_the_latest_are_known_and_none_of_the_others() -> None:
    memory = GoneKeys(4_096)
    for number in range(100_000):
        memory.add(b"key:%d" % number, MissReason.EXPIRED)
    known = sum(memory.reason(b"key:%d" % number) == MissReason.EXPIRED for number in range(99_000, 100_000))
    assert known > 850
    assert not sum(memory.reason(b"never:%d" % number) != MissReason.NEVER_WRITTEN for number in range(10_000))


def test_slots_follow_the_limit() -> None:
    assert [slots_of(1), slots_of(256 << 20), slots_of(1 << 50)] == [64, 65_536, 1 << 20]
    assert GoneKeys(256).size_bytes == 1_024


@given(st.lists(_KEYS, max_size=50, unique=True), st.lists(_KEYS, max_size=20))
def test_many_are_remembered_as_each_would_be(keys: list[bytes], asked: list[bytes]) -> None:
    many, single = GoneKeys(256), GoneKeys(256)
    many.add_many(keys, map(key_hash, keys), MissReason.EXPIRED)
    for key in keys:
        single.add(key, MissReason.EXPIRED)
    assert [many.reason(key) for key in keys + asked] == [single.reason(key) for key in keys + asked]
