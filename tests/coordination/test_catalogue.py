"""The catalogue: a merge that does not care about order, a journal that leaves nothing out, limits that hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.coordination import catalogue as module
from dynacache.coordination.catalogue import NAME_LIMIT_BYTES, VALUE_LIMIT_BYTES, Catalogue, Entry, check_entry
from dynacache.errors import InvalidRequest, Overloaded

ENTRIES = st.lists(
    st.tuples(st.sampled_from([b"Na", b"Nb", b"Ec", b"Ed"]), st.integers(1, 6), st.sampled_from([b"", b"1", b"2"])),
    max_size=30,
)


def filled(entries: list[Entry]) -> Catalogue:
    catalogue = Catalogue()
    for entry in entries:
        catalogue.merge(*entry)
    return catalogue


def model(entries: list[Entry]) -> dict[bytes, tuple[int, bytes]]:
    return {name: max((stamp, value) for each, stamp, value in entries if each == name) for name, _, _ in entries}


@given(ENTRIES, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_map_and_digest(entries: list[Entry], random: object) -> None:
    shuffled = list(entries) + entries[:3]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = filled(entries), filled(shuffled)
    assert one.entries == other.entries == model(entries)
    assert one.digest == other.digest


@given(ENTRIES, ENTRIES)
def test_equal_digests_mean_equal_maps(first: list[Entry], second: list[Entry]) -> None:
    one, other = filled(first), filled(second)
    assert (one.digest == other.digest) == (one.entries == other.entries)


@given(ENTRIES, ENTRIES, st.integers(0, 80))
def test_what_changed_after_a_number_is_all_a_peer_lacks(before: list[Entry], since: list[Entry], limit: int) -> None:
    source = filled(before)
    peer, reached = filled(before), source.sequence
    for entry in since:
        source.merge(*entry)
    pages = 0
    while reached < source.sequence:
        reached, page = source.after(reached, limit)
        assert page
        pages += 1
        for entry in page:
            peer.merge(*entry)
    assert peer.entries == source.entries
    assert source.after(reached, limit) == (source.sequence, [])


@given(ENTRIES)
def test_the_journal_tells_each_name_once_in_order_of_its_last_change(entries: list[Entry]) -> None:
    catalogue = Catalogue()
    order: list[bytes] = []
    for entry in entries:
        if catalogue.merge(*entry):
            order = [name for name in order if name != entry[0]] + [entry[0]]
    _, told = catalogue.after(0, 10**9)
    assert [name for name, _, _ in told] == order


@given(ENTRIES, st.sampled_from([b"Na", b"Ec"]))
def test_a_dropped_name_leaves_no_trace(entries: list[Entry], name: bytes) -> None:
    catalogue = filled(entries)
    catalogue.drop(name)
    others = [entry for entry in entries if entry[0] != name]
    assert catalogue.entries == filled(others).entries
    assert catalogue.digest == filled(others).digest
    assert all(each != name for each, _, _ in catalogue.after(0, 10**9)[1])
    assert catalogue.get(name) is None


def test_the_journal_does_not_grow_with_changes_of_one_name() -> None:
    catalogue = Catalogue()
    for stamp in range(1, 10_000):
        catalogue.merge(b"Na", stamp, b"")
    assert len(catalogue._journal) < 100
    assert catalogue.after(5_000, 100) == (9_999, [(b"Na", 9_999, b"")])


def test_listeners_hear_what_is_taken_and_judges_leave_out() -> None:
    catalogue, heard = Catalogue(), list[Entry]()
    catalogue.listeners.append(lambda name, stamp, value: heard.append((name, stamp, value)))
    catalogue.accepts.append(lambda name, stamp, value: stamp > 3)
    assert not catalogue.merge(b"Ea", 3, b"")
    assert catalogue.merge(b"Ea", 5, b"")
    assert not catalogue.merge(b"Ea", 4, b"")
    assert heard == [(b"Ea", 5, b"")]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_LIMIT", 2)
    catalogue = filled([(b"a", 1, b""), (b"b", 1, b"")])
    with pytest.raises(Overloaded, match="holds 2 names, and its limit is 2"):
        catalogue.require_room(1)
    catalogue.merge(b"c", 1, b"")
    catalogue.merge(b"d", 1, b"")
    with pytest.raises(Overloaded, match="twice its limit"):
        catalogue.merge(b"e", 1, b"")
    assert catalogue.merge(b"a", 2, b"")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ((b"", 1, b""), "catalogue name: got b''"),
        (("N", 1, b""), "catalogue name"),
        ((b"x" * (NAME_LIMIT_BYTES + 1), 1, b""), f"expected 1 to {NAME_LIMIT_BYTES} bytes"),
        ((b"N", 0, b""), "catalogue stamp: got 0"),
        ((b"N", 1 << 64, b""), "catalogue stamp"),
        ((b"N", True, b""), "catalogue stamp"),
        ((b"N", 1, "v"), "catalogue value"),
        ((b"N", 1, b"x" * (VALUE_LIMIT_BYTES + 1)), f"at most {VALUE_LIMIT_BYTES} bytes"),
    ],
)
def test_what_no_catalogue_may_hold(entry: tuple[object, object, object], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check_entry(*entry)
