"""What may be set for a namespace, and the form in which it travels.

What: ``NamespaceSettings`` is one frozen value with a default for everything; `changed` makes another from options by
name, as an operator gives them. ``to_value`` and `from_value` are the catalogue's form: a msgpack map of what differs
from the defaults.

Invariant: settings that were made by `changed` are valid, and every error names the option, the value and what was
expected. What comes from another node is never refused: fields of a later release are kept as they are and travel on,
and a known field with a value that makes no sense here has its default. An empty value is a namespace that was dropped.

Rules of lifetimes (`lifetime_ms`): a write that names no time to live gets ``default_ttl_ms``; one that says "never"
gets none; then ``maximum_ttl_ms`` cuts what is longer, or never ends, to itself. It is not an error to ask for more,
because a bound on age is the namespace's promise and not the caller's business.
"""

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import msgpack

from dynacache.errors import InvalidRequest
from dynacache.namespaces.names import FACTOR_LIMIT

__all__ = ["DEFAULTS", "GROUPS_LIMIT", "NEVER_MS", "NamespaceSettings"]

GROUPS_LIMIT: Final = 64
"""Namespaces with a policy or a share of the memory of their own: what a store keeps apart (`storage.eviction`)."""

NEVER_MS: Final = -1
"""As a write's time to live: it never ends, whatever the namespace's default is."""

_MODES: Final = ("causal", "last_write_wins")
_LEVELS: Final = ("", "one", "quorum", "strict_quorum", "all")
_POLICIES: Final = ("", "s3fifo", "lru", "lfu", "ttl", "random", "noeviction")
_COMPRESSIONS: Final = ("", "zstandard")
_TTL_LIMIT_MS: Final = 100 * 365 * 24 * 3600 * 1000
_UNKNOWN_LIMIT: Final = 32


def _expect(field: str, value: object, is_right: bool, expected: str) -> None:
    if not is_right:
        raise InvalidRequest(f"{field}: got {value!r:.80}, expected {expected}")


def _one_of(field: str, value: object, names: tuple[str, ...]) -> None:
    shown = ", ".join(name or '""' for name in names)
    _expect(field, value, isinstance(value, str) and value in names, f"one of {shown}")


@attrs.frozen
class NamespaceSettings:
    """Settings of one namespace. Empty or 0 means: as the node is configured.

    ``mode``: "causal" keeps concurrent values as siblings; "last_write_wins" keeps the newest alone and loses the
    others, counted. ``default_read_level``, ``default_write_level``: of requests that name none.
    ``default_ttl_ms``: of writes that name none. ``maximum_ttl_ms``: cuts longer lives. ``sliding``: a read extends the
    life. ``eviction``: the policy. ``memory_share``: at most this share of the entries' bytes (0: no cap of its own).
    ``key_events``: subscribers may follow changes. ``compression``: what clients do to large values.
    ``replication_factor``: copies of each entry, 0 for as many as the cluster keeps; it is chosen once.
    """

    mode: str = "causal"
    default_read_level: str = ""
    default_write_level: str = ""
    default_ttl_ms: int = 0
    maximum_ttl_ms: int = 0
    sliding: bool = False
    eviction: str = ""
    memory_share: float = 0.0
    key_events: bool = False
    compression: str = ""
    replication_factor: int = 0
    unknown: tuple[tuple[str, Any], ...] = ()
    """Fields of a later release, kept."""
    read_level: int = attrs.field(init=False, eq=False, default=0)
    """``default_read_level`` as a number, 0 for the node's; `write_level` likewise."""
    write_level: int = attrs.field(init=False, eq=False, default=0)
    touches_writes: bool = attrs.field(init=False, eq=False, default=False)
    """Whether a write's time to live depends on these settings."""

    def __attrs_post_init__(self) -> None:
        """Check every field, and derive what requests ask for."""
        if self.mode == "strong":
            raise InvalidRequest(
                "mode: got 'strong', which this release does not have; expected causal or last_write_wins"
            )
        _one_of("mode", self.mode, _MODES)
        for level in ("default_read_level", "default_write_level"):
            _one_of(level, getattr(self, level), _LEVELS)
        for lifetime in ("default_ttl_ms", "maximum_ttl_ms"):
            value = getattr(self, lifetime)
            is_right = type(value) is int and 0 <= value <= _TTL_LIMIT_MS
            _expect(lifetime, value, is_right, f"milliseconds from 0 (none) to {_TTL_LIMIT_MS}")
        for switch in ("sliding", "key_events"):
            _expect(switch, getattr(self, switch), type(getattr(self, switch)) is bool, "true or false")
        _one_of("eviction", self.eviction, _POLICIES)
        share = self.memory_share
        _expect("memory_share", share, type(share) in (int, float) and 0 <= share <= 1, "a share from 0 (none) to 1")
        _one_of("compression", self.compression, _COMPRESSIONS)
        factor = self.replication_factor
        _expect(
            "replication_factor",
            factor,
            type(factor) is int and 0 <= factor <= FACTOR_LIMIT,
            f"0, the cluster's, or a number of copies from 1 to {FACTOR_LIMIT}",
        )
        if self.maximum_ttl_ms and self.default_ttl_ms > self.maximum_ttl_ms:
            raise InvalidRequest(
                f"default_ttl_ms: got {self.default_ttl_ms}, expected at most maximum_ttl_ms, {self.maximum_ttl_ms}"
            )
        object.__setattr__(self, "read_level", _LEVELS.index(self.default_read_level))
        object.__setattr__(self, "write_level", _LEVELS.index(self.default_write_level))
        object.__setattr__(self, "touches_writes", bool(self.default_ttl_ms or self.maximum_ttl_ms or self.sliding))

    @property
    def is_group(self) -> bool:
        """Whether the store keeps its entries apart from others'."""
        return bool(self.eviction or self.memory_share)

    @property
    def keeps_newest(self) -> bool:
        """Whether one value alone is kept of several concurrent ones."""
        return self.mode == "last_write_wins"

    def lifetime_ms(self, ttl_ms: int) -> int:
        """Return the time to live of a write that asked for ``ttl_ms`` (0: named none, ``NEVER_MS``: never); 0 for
        never."""
        if ttl_ms == 0:
            ttl_ms = self.default_ttl_ms
        elif ttl_ms == NEVER_MS:
            ttl_ms = 0
        maximum_ms = self.maximum_ttl_ms
        return maximum_ms if maximum_ms and not 0 < ttl_ms <= maximum_ms else ttl_ms

    def changed(self, options: Mapping[str, Any]) -> Self:
        """Return these settings with some options changed; raises ``InvalidRequest``."""
        for option in options:
            if option not in _NAMES:
                raise InvalidRequest(f"option: got {option!r:.80}, expected one of {', '.join(_NAMES)}")
        return attrs.evolve(self, **options)

    def to_map(self) -> dict[str, Any]:
        """Return every setting by name."""
        return {name: getattr(self, name) for name in _NAMES}

    def to_value(self) -> bytes:
        """Return the form that travels: a map of what differs from the defaults."""
        fields = {name: value for name, value in self.to_map().items() if value != getattr(DEFAULTS, name)}
        packed: bytes = msgpack.packb(dict(self.unknown) | fields)
        return packed

    @classmethod
    def from_value(cls, value: bytes) -> "NamespaceSettings":
        """Read what travels, leniently: see the module."""
        try:
            fields = msgpack.unpackb(value, strict_map_key=False) if value else {}
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
            return DEFAULTS
        if not isinstance(fields, dict):
            return DEFAULTS
        known = {name: field for name, field in fields.items() if isinstance(name, str) and name in _NAMES}
        later = [(name, field) for name, field in fields.items() if isinstance(name, str) and name not in _NAMES]
        settings = attrs.evolve(DEFAULTS, unknown=tuple(sorted(later, key=lambda each: each[0])[:_UNKNOWN_LIMIT]))
        for name in sorted(known, reverse=True):  # the maximum of the lifetimes before their default
            try:
                settings = attrs.evolve(settings, **{name: known[name]})
            except InvalidRequest:
                continue
        return settings


DEFAULTS: Final = NamespaceSettings()
"""What a namespace has that nobody has set anything for."""

_NAMES: Final = tuple(field.name for field in attrs.fields(NamespaceSettings) if field.init and field.name != "unknown")
