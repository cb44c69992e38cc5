"""Settings of a namespace: checked with a sentence, carried there and back, lenient toward other releases."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.errors import InvalidRequest
from dynacache.namespaces.settings import DEFAULTS, NEVER_MS, NamespaceSettings

LEVELS = st.sampled_from(["", "one", "quorum", "strict_quorum", "all"])
SETTINGS = st.builds(
    lambda maximum, default, **rest: NamespaceSettings(
        maximum_ttl_ms=maximum, default_ttl_ms=min(default, maximum or default), **rest
    ),
    maximum=st.integers(0, 10**6),
    default=st.integers(0, 10**6),
    mode=st.sampled_from(["causal", "last_write_wins"]),
    default_read_level=LEVELS,
    default_write_level=LEVELS,
    sliding=st.booleans(),
    eviction=st.sampled_from(["", "s3fifo", "lru", "lfu", "ttl", "random", "noeviction"]),
    memory_share=st.floats(0, 1),
    key_events=st.booleans(),
    compression=st.sampled_from(["", "zstandard"]),
)
PLAIN = (
    st.none() | st.integers(-(2**63), 2**63) | st.booleans() | st.text(max_size=9) | st.binary(max_size=9) | st.floats()
)


@given(SETTINGS)
def test_settings_come_back_equal(settings: NamespaceSettings) -> None:
    assert NamespaceSettings.from_value(settings.to_value()) == settings
    assert DEFAULTS.changed(settings.to_map()) == settings


@given(st.dictionaries(st.sampled_from([*DEFAULTS.to_map(), "later", "unknown"]) | st.text(max_size=5), PLAIN))
def test_whatever_another_node_sends_is_read(fields: dict[str, Any]) -> None:
    settings = NamespaceSettings.from_value(msgpack.packb(fields))
    DEFAULTS.changed(settings.to_map())
    assert NamespaceSettings.from_value(settings.to_value()) == settings or any(
        field != field for field in fields.values()
    )


@given(st.binary(max_size=60))
def test_garbage_is_the_defaults_or_something_valid(value: bytes) -> None:
    DEFAULTS.changed(NamespaceSettings.from_value(value).to_map())


def test_fields_of_a_later_release_travel_on() -> None:
    value = msgpack.packb({"default_ttl_ms": 5, "colour": "blue", "sliding": "perhaps"})
    settings = NamespaceSettings.from_value(value)
    assert (settings.default_ttl_ms, settings.sliding, settings.unknown) == (5, False, (("colour", "blue"),))
    changed = settings.changed({"key_events": True})
    assert msgpack.unpackb(changed.to_value()) == {"colour": "blue", "default_ttl_ms": 5, "key_events": True}


def test_the_defaults_travel_as_nothing() -> None:
    assert NamespaceSettings.from_value(b"") == DEFAULTS
    assert DEFAULTS.to_value() == msgpack.packb({})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "strong"}, "mode: got 'strong', which this release does not have"),
        ({"mode": "x"}, "mode: got 'x', expected one of causal, last_write_wins"),
        ({"default_read_level": "strong"}, "default_read_level: got 'strong', expected one of"),
        ({"default_write_level": 2}, "default_write_level: got 2"),
        ({"default_ttl_ms": -1}, "default_ttl_ms: got -1, expected milliseconds from 0"),
        ({"default_ttl_ms": 1.5}, "default_ttl_ms: got 1.5"),
        ({"maximum_ttl_ms": True}, "maximum_ttl_ms: got True"),
        ({"default_ttl_ms": 6, "maximum_ttl_ms": 5}, "default_ttl_ms: got 6, expected at most maximum_ttl_ms, 5"),
        ({"sliding": 1}, "sliding: got 1, expected true or false"),
        ({"key_events": "yes"}, "key_events: got 'yes'"),
        ({"eviction": "fifo"}, "eviction: got 'fifo', expected one of \"\", s3fifo"),
        ({"memory_share": 1.1}, "memory_share: got 1.1, expected a share from 0"),
        ({"memory_share": float("nan")}, "memory_share: got nan"),
        ({"compression": "gzip"}, "compression: got 'gzip', expected one of"),
        (
            {"replication_factor": 10},
            "replication_factor: got 10, expected 0, the cluster's, or a number of copies from 1",
        ),
        ({"replication_factor": True}, "replication_factor: got True, expected 0"),
        ({"colour": "blue"}, "option: got 'colour', expected one of mode, default_read_level"),
    ],
)
def test_what_cannot_be_set_is_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        DEFAULTS.changed(options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("default_ms", "maximum_ms", "asked_ms", "given_ms"),
    [
        (0, 0, 0, 0),
        (0, 0, 5, 5),
        (0, 0, NEVER_MS, 0),
        (7, 0, 0, 7),
        (7, 0, 5, 5),
        (7, 0, 9, 9),
        (7, 0, NEVER_MS, 0),
        (0, 8, 0, 8),
        (0, 8, 9, 8),
        (0, 8, 8, 8),
        (0, 8, NEVER_MS, 8),
        (7, 8, 0, 7),
    ],
)
def test_lifetimes(default_ms: int, maximum_ms: int, asked_ms: int, given_ms: int) -> None:
    settings = NamespaceSettings(default_ttl_ms=default_ms, maximum_ttl_ms=maximum_ms)
    assert settings.lifetime_ms(asked_ms) == given_ms


def test_what_requests_ask_for_is_derived() -> None:
    settings = NamespaceSettings(default_read_level="quorum", default_write_level="all", sliding=True)
    assert (settings.read_level, settings.write_level, settings.touches_writes) == (2, 4, True)
    assert (DEFAULTS.read_level, DEFAULTS.write_level, DEFAULTS.touches_writes) == (0, 0, False)
    assert NamespaceSettings(mode="last_write_wins").keeps_newest
