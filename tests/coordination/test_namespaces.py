"""Settings follow the catalogue, by name and by key; changes are versioned; malformed keys are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.coordination import namespaces as module
from dynacache.coordination.catalogue import Catalogue
from dynacache.coordination.namespaces import Namespaces, namespace_concerned
from dynacache.errors import InvalidRequest, NotReady, Overloaded
from dynacache.namespaces.names import qualify, with_factor
from dynacache.namespaces.settings import DEFAULTS, GROUPS_LIMIT
from dynacache.wire.epoch_names import FLUSH, TAG, epoch_name


def changed(namespaces: Namespaces, name: str, stamp: int = 1, **options: object) -> None:
    namespaces.catalogue.merge(*namespaces.change(name, options, None, stamp))


def test_settings_are_found_by_key() -> None:
    namespaces = Namespaces(Catalogue())
    assert namespaces.of(b"plain") is DEFAULTS
    assert namespaces.of(qualify("web", b"k")) is DEFAULTS
    assert namespaces.default is None
    changed(namespaces, "web", default_ttl_ms=5)
    changed(namespaces, "", maximum_ttl_ms=9)
    assert namespaces.of(qualify("web", b"k")).default_ttl_ms == 5
    assert namespaces.of(b"plain").maximum_ttl_ms == namespaces.of(b"\x00\x00\x00odd").maximum_ttl_ms == 9
    assert namespaces.of(qualify("web2", b"k")) is DEFAULTS
    namespaces.catalogue.merge(*namespaces.drop("web", None, 1))
    assert namespaces.of(qualify("web", b"k")) is DEFAULTS
    assert "web" not in namespaces.by_name
    assert namespaces.version("web") == 2


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 5), st.integers(0, 3)), max_size=8), st.randoms())
def test_order_does_not_matter(changes: list[tuple[str, int, int]], random: object) -> None:
    entries = [(b"N" + name.encode(), stamp, DEFAULTS.changed({"default_ttl_ms": ttl}).to_value() if ttl else b"")
               for name, stamp, ttl in changes]  # fmt: skip
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = Namespaces(Catalogue()), Namespaces(Catalogue())
    for namespaces, order in ((one, entries), (other, shuffled)):
        for entry in order:
            namespaces.catalogue.merge(*entry)
    assert one.by_name == other.by_name


@pytest.mark.parametrize(
    "key", [b"\x00", b"\x00\x03web", b"\x00\x01-k", b"\x00\x00k", b"\x00\x00", b"\x00\x03web" + b"k" * 1025]
)
def test_malformed_keys_are_refused_each_time(key: bytes) -> None:
    namespaces = Namespaces(Catalogue())
    namespaces.of(qualify("web", b"k"))
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="key: got"):
            namespaces.of(key)
        assert not namespaces.keeps_newest(key)
    changed(namespaces, "x", mode="last_write_wins")
    assert not namespaces.keeps_newest(key)


def test_an_escaped_key_of_the_largest_size_is_accepted() -> None:
    assert Namespaces(Catalogue()).of(qualify("", b"\x00" * 1024)) is DEFAULTS
    assert Namespaces(Catalogue()).of(qualify("a" * 64, b"k" * 1024)) is DEFAULTS


def test_a_change_may_demand_the_version_it_saw() -> None:
    namespaces = Namespaces(Catalogue())
    namespaces.catalogue.merge(*namespaces.change("web", {"sliding": True}, 0, 7))
    with pytest.raises(InvalidRequest, match="version: got 0, expected 7: the settings of namespace web were changed"):
        namespaces.change("web", {"key_events": True}, 0, 8)
    assert namespaces.change("web", {"sliding": True}, 0, 8) == (b"Nweb", 7, namespaces.named("web").to_value())
    name, stamp, _ = namespaces.change("web", {"key_events": True}, 7, 3)
    assert (name, stamp) == (b"Nweb", 8)
    with pytest.raises(InvalidRequest, match="version: got 1, expected 7"):
        namespaces.drop("web", 1, 9)


def test_the_number_of_settings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMESPACES_LIMIT", 1)
    monkeypatch.setattr(module, "PREFIXES_LIMIT", 2)
    namespaces = Namespaces(Catalogue())
    changed(namespaces, "web")
    changed(namespaces, "web", stamp=2, sliding=True)
    with pytest.raises(Overloaded, match="1 namespaces have settings of their own, the limit"):
        namespaces.change("other", {}, None, 1)
    for number in range(9):
        namespaces.of(qualify(f"n{number}", b"k"))
    assert len(namespaces._by_prefix) <= 2


def test_records_of_other_kinds_and_names_are_left_alone() -> None:
    namespaces = Namespaces(Catalogue())
    heard: list[str] = []
    namespaces.changed.append(heard.append)
    for name in (b"Eweb", b"NWEB", b"N\xff", b"N-"):
        namespaces.catalogue.merge(name, 1, b"")
    assert heard == []
    changed(namespaces, "web", mode="last_write_wins")
    assert heard == ["web"]
    assert namespaces.keeps_newest(qualify("web", b"k"))
    assert not namespaces.keeps_newest(b"plain")
    changed(namespaces, "", mode="last_write_wins")
    assert namespaces.keeps_newest(b"plain")


def test_clients_are_told_of_compression_alone() -> None:
    namespaces = Namespaces(Catalogue())
    changed(namespaces, "web", sliding=True)
    changed(namespaces, "big", compression="zstandard")
    assert namespaces.for_clients() == {"big": "zstandard"}


def test_the_default_namespace_has_no_share_of_its_own() -> None:
    namespaces = Namespaces(Catalogue())
    assert namespaces.change("web", {"memory_share": 0.5}, None, 1)
    with pytest.raises(InvalidRequest, match=r"memory_share: got 0\.5, expected 0: the default"):
        namespaces.change("", {"memory_share": 0.5}, None, 1)


def test_the_number_of_groups_is_the_stores() -> None:
    namespaces = Namespaces(Catalogue())
    changed(namespaces, "", eviction="lru")
    for number in range(GROUPS_LIMIT):
        changed(namespaces, f"n{number}", eviction="lru")
    with pytest.raises(Overloaded, match="64 namespaces have a policy or a share"):
        namespaces.change("more", {"memory_share": 0.1}, None, 1)
    changed(namespaces, "n0", stamp=2, memory_share=0.1)
    changed(namespaces, "plain", sliding=True)


def test_a_factor_is_that_of_keys_and_the_clusters_own_is_none() -> None:
    namespaces = Namespaces(Catalogue(), 3)
    changed(namespaces, "wide", replication_factor=5)
    changed(namespaces, "same", replication_factor=3)
    assert namespaces.any_factor
    assert (namespaces.factor("wide"), namespaces.factor("same"), namespaces.factor("none")) == (5, 0, 0)
    assert namespaces.factors_for_clients() == {"wide": 5}
    key = qualify("wide", b"k")
    assert namespaces.of(key).replication_factor == 5
    assert namespaces.of(qualify("same", b"k")).replication_factor == 0
    assert namespaces.placed(key) == with_factor(key, 5) == namespaces.placed(with_factor(key, 5))
    assert namespaces.placed(b"plain") == b"plain"
    assert not namespaces.is_placed(key)
    assert namespaces.is_placed(with_factor(key, 5))
    assert not namespaces.is_placed(with_factor(qualify("none", b"k"), 2))
    assert namespaces.of(with_factor(qualify("none", b"k"), 2)).replication_factor == 2, "what a peer has put in"


def test_a_factor_is_chosen_with_the_first_setting() -> None:
    namespaces = Namespaces(Catalogue(), 3)
    changed(namespaces, "web", sliding=True)
    changed(namespaces, "wide", replication_factor=5)
    changed(namespaces, "wide", sliding=True, stamp=2)
    assert namespaces.factor("wide") == 5
    for name, factor in (("web", 5), ("wide", 3), ("wide", 0)):
        with pytest.raises(InvalidRequest, match="chosen with a namespace's first setting"):
            changed(namespaces, name, replication_factor=factor)
    with pytest.raises(InvalidRequest, match="the default namespace has the cluster's, 3"):
        changed(namespaces, "", replication_factor=5)
    namespaces.catalogue.merge(*namespaces.drop("wide", None, 3))
    changed(namespaces, "wide", stamp=4, replication_factor=2)
    assert namespaces.factor("wide") == 2


def test_a_node_that_may_lack_settings_refuses_namespaces_and_nothing_else() -> None:
    namespaces = Namespaces(Catalogue(), 3)
    namespaces.is_known = False
    with pytest.raises(NotReady):
        namespaces.of(qualify("web", b"k"))
    assert namespaces.of(b"plain") is DEFAULTS
    namespaces.is_known = True
    assert namespaces.of(qualify("web", b"k")) is DEFAULTS


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (b"Nweb", "web"),
        (b"N", ""),
        (epoch_name(TAG, b"web", b"tag"), "web"),
        (epoch_name(FLUSH, b""), ""),
        (b"N\xff", ""),
        (b"Xlater", ""),
        (b"E", ""),
    ],
)
def test_what_an_entry_of_the_catalogue_is_about(entry: bytes, name: str) -> None:
    assert namespace_concerned(entry) == name
