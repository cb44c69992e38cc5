"""A cluster in a dictionary, with the part of the client's interface that commands use.

What: `FakeClient` answers like `dynacache.Client`; what a test wants refused it puts into `errors`, by operation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from dynacache.client.results import Fetched, Receipt, Sibling, Written
from dynacache.types import Level, MissReason

__all__ = ["FakeClient", "FakeEvents", "key_of"]


def key_of(key: bytes | str) -> bytes:
    """Keys are one thing, whether text or bytes."""
    return key.encode() if isinstance(key, str) else key


@attrs.define
class FakeEvents:
    """A subscription that has so much to tell."""

    events: list[Any]

    def get(self, timeout: float | None = None) -> Any:
        """The next item; none when all were told."""
        return self.events.pop(0) if self.events else None

    def __enter__(self) -> "FakeEvents":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@attrs.define
class FakeClient:
    """Values by key; `calls` remembers what was asked and how."""

    values: dict[bytes, Any] = attrs.field(factory=dict)
    siblings: dict[bytes, tuple[Any, ...]] = attrs.field(factory=dict)
    ttls: dict[bytes, float] = attrs.field(factory=dict)
    errors: dict[str, BaseException] = attrs.field(factory=dict)
    reports: dict[str, Any] = attrs.field(factory=dict)
    unreadable: frozenset[bytes] = frozenset()
    """Keys that `fetch` misses."""
    miss_reason: MissReason = MissReason.NEVER_WRITTEN
    events: list[Any] = attrs.field(factory=list)
    """What a subscription tells, then nothing more."""
    calls: list[tuple[Any, ...]] = attrs.field(factory=list)
    closed: bool = False

    def _note(self, operation: str, *details: Any) -> None:
        self.calls.append((operation, *details))
        if operation in self.errors:
            raise self.errors[operation]

    def get(self, key: bytes | str, default: Any = None, *, level: str | None = None) -> Any:
        self._note("get", key, level)
        return self.values.get(key_of(key), default)

    def fetch(
        self, key: bytes | str, *, level: str | None = None, siblings: bool = False, receipt: bool = False
    ) -> Any:
        self._note("fetch", key, level, siblings, receipt)
        name = key_of(key)
        if name not in self.values or name in self.unreadable:
            return Fetched(None, False, miss_reason=self.miss_reason)
        told = Receipt("a", Level.QUORUM, ("a", "b", "c"), ("a", "b"), (), (), False, False) if receipt else None
        versions = tuple(Sibling(value, 2.0) for value in self.siblings.get(name, ())) if siblings else ()
        return Fetched(self.values[name], True, b"\x01\xff", 1.0, 2.0, self.ttls.get(name), versions, told)

    def get_many(self, keys: Sequence[bytes | str], *, level: str | None = None) -> Mapping[Any, Any]:
        self._note("get_many", tuple(keys), level)
        return {key: self.values[key_of(key)] for key in keys if key_of(key) in self.values}

    def set(
        self,
        key: bytes | str,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        only_if_absent: bool = False,
        only_if_present: bool = False,
        tags: Sequence[str] = (),
        level: str | None = None,
    ) -> Any:
        self._note("set", key, value, ttl, level, *([tuple(tags)] if tags else []))
        name = key_of(key)
        if (only_if_absent and name in self.values) or (only_if_present and name not in self.values):
            return Written(False)
        self.values[name] = value
        if ttl is not None:
            self.ttls[name] = ttl
        return Written(True)

    def invalidate(self, key: bytes | str, *, level: str | None = None) -> Any:
        self._note("invalidate", key, level)
        return Written(self.values.pop(key_of(key), None) is not None)

    def invalidate_version(self, key: bytes | str, version: bytes, *, level: str | None = None) -> Any:
        self._note("invalidate_version", key, version, level)
        return Written(self.values.pop(key_of(key), None) is not None)

    def invalidate_tag(self, tag: str, *, strict: bool = True, level: str | None = None) -> bool:
        self._note("invalidate_tag", tag, strict, level)
        return True

    def invalidate_pattern(self, pattern: str, *, strict: bool = True, level: str | None = None) -> bool:
        self._note("invalidate_pattern", pattern, strict, level)
        return True

    def flush(self, *, strict: bool = True, level: str | None = None) -> bool:
        self._note("flush", strict, level)
        return True

    def set_many(self, values: Mapping[Any, Any], *, level: str | None = None) -> None:
        self._note("set_many", len(values), level)
        self.values |= {key_of(key): value for key, value in values.items()}

    def delete(self, key: bytes | str, *, level: str | None = None) -> Any:
        self._note("delete", key, level)
        self.values.pop(key_of(key), None)
        return Written(True)

    def exists(self, key: bytes | str, *, level: str | None = None) -> bool:
        self._note("exists", key, level)
        return key_of(key) in self.values

    def touch(self, key: bytes | str, ttl: float, *, level: str | None = None) -> bool:
        self._note("touch", key, ttl, level)
        return key_of(key) in self.values

    def increment(
        self, key: bytes | str, delta: int = 1, *, ttl: float | None = None, level: str | None = None
    ) -> int | float:
        self._note("increment", key, delta, ttl, level)
        value: int = self.values.get(key_of(key), 0) + delta
        self.values[key_of(key)] = value
        return value

    def report(
        self, topic: str, argument: Any = None, *, address: str | None = None, timeout: float | None = None
    ) -> Any:
        self._note("report", topic, address)
        return self.reports[topic]

    def command(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        address: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        self._note("command", name, dict(arguments or {}), address)
        return self.reports.get(name, {})

    def scan(
        self, prefix: bytes | str = b"", *, pattern: bytes | str | None = None, level: str | None = None
    ) -> Iterator[bytes]:
        self._note("scan", prefix, pattern, level)
        return iter(sorted(key for key in self.values if key.startswith(key_of(prefix))))

    def subscribe(self, prefix: bytes | str = b"", *, changes: Sequence[str] | None = None) -> Any:
        self._note("subscribe", prefix, changes)
        return FakeEvents(list(self.events))

    def owners(self, key: bytes | str) -> Any:
        self._note("owners", key)
        return self.reports["owners"]

    def namespace(self, name: str) -> "FakeClient":
        """The same keys, whatever the namespace: that it was named is noted."""
        self._note("namespace", name)
        return self

    def close(self) -> None:
        self.closed = True
