"""Tags find the entries in which two sides differ."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dynacache.repair.exchange_store import RESIDENT, Listed
from dynacache.repair.exchange_tags import tags_of, unmatched

PAIRS = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
ENTRIES = st.lists(PAIRS, max_size=20, unique_by=lambda pair: pair[0])


def _listed(fingerprint: int, version_hash: int) -> Listed:
    return 0, fingerprint, version_hash, RESIDENT, 5, 0, b"key"


@given(ENTRIES, ENTRIES, ENTRIES, st.integers(0, 2**63 - 1))
def test_what_is_the_same_is_matched_and_nothing_else(
    same: list[tuple[int, int]], mine: list[tuple[int, int]], theirs: list[tuple[int, int]], half: int
) -> None:
    ours = [_listed(*each) for each in same + mine]
    given_ = [_listed(*each) for each in theirs + same]
    multiplier = 2 * half + 1
    extra, missing = unmatched(tags_of(ours, multiplier), tags_of(given_, multiplier))
    assert all((ours[place][1], ours[place][2]) in mine for place in extra)
    assert all((given_[place][1], given_[place][2]) in theirs for place in missing)


def test_tags_are_32_bits_and_spread() -> None:
    random = Random(1)
    listed = [_listed(random.getrandbits(64), random.getrandbits(64) & ~3) for _ in range(20_000)]
    tags = tags_of(listed, random.getrandbits(64) | 1)
    assert max(tags) < 1 << 32
    assert len(set(tags)) > 19_990
    buckets = [0] * 16
    for tag in tags:
        buckets[tag >> 28] += 1
    assert max(buckets) < 1.2 * min(buckets)


def test_two_entries_that_share_a_tag_are_parted_by_another_multiplier() -> None:
    random = Random(2)
    first = _listed(1 << 63, 0)
    second = _listed(0, 0)
    apart = sum(
        tags_of([first], multiplier) != tags_of([second], multiplier)
        for multiplier in (random.getrandbits(64) | 1 for _ in range(100))
    )
    assert apart == 100
