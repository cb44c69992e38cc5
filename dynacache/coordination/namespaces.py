"""The settings of every namespace, as the gate and the store ask for them.

What: ``Namespaces`` follows the catalogue's settings records (``N`` and the name) and keeps them parsed, by name and by
the prefix that qualified keys carry.

Invariant: what is kept is what the catalogue holds. A namespace without a record, or with the empty one that a drop
leaves, has the defaults. ``default`` is None while nobody has set anything for the default namespace, so that its
requests pay for one truth test. `of` refuses a malformed qualified key, and looks at the bytes of a prefix only the
first time that it meets it (up to ``PREFIXES_LIMIT``; then it begins to remember anew).
A replication factor that is the cluster's own is none of its own. It is chosen with the first setting of a namespace
and stands: to change it would move everything that the namespace holds, so whoever wants another makes another
namespace. For a key that carries a factor (``namespaces.names``) the settings returned have that one.

Changes are versioned by the stamp of the record: who changes one may say which stamp he has seen, and is refused if
another change came before his. Under a partition two changes may both be made; the larger (stamp, value) wins whole.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from dynacache.coordination.catalogue import Catalogue, Entry
from dynacache.errors import InvalidRequest, NotReady, Overloaded
from dynacache.namespaces.names import (
    DEFAULT,
    FACTOR_LIMIT,
    bare,
    check_name,
    namespace_of,
    prefix,
    prefix_of,
    with_factor,
)
from dynacache.namespaces.settings import DEFAULTS, GROUPS_LIMIT, NamespaceSettings
from dynacache.placement.partitions import factor_in
from dynacache.wire.epoch_names import parse_epoch_name
from dynacache.wire.messages import USER_KEY_LIMIT_BYTES

__all__ = ["NAMESPACES_LIMIT", "PREFIXES_LIMIT", "SETTINGS_KIND", "Namespaces", "namespace_concerned"]

NAMESPACES_LIMIT: Final = 1_000
"""Namespaces with settings of their own; one more is refused."""
PREFIXES_LIMIT: Final = 4_096
SETTINGS_KIND: Final = b"N"
"""The first byte of a settings record's name."""


def namespace_concerned(entry: bytes) -> str:
    """Return the namespace that an entry of the catalogue is about, by the entry's name; the default one's for a name
    of a later release."""
    try:
        name = entry[1:] if entry[:1] == SETTINGS_KIND else parse_epoch_name(entry)[1]
        return check_name(name.decode())
    except (InvalidRequest, ValueError):
        return DEFAULT


@attrs.define(eq=False)
class Namespaces:
    """Settings by name. ``changed`` are called with the name after its settings are other ones."""

    catalogue: Catalogue
    cluster_factor: int = 0
    """Copies of whatever has no factor of its own."""
    default: NamespaceSettings | None = None
    by_name: dict[str, NamespaceSettings] = attrs.field(factory=dict)
    """Those with settings of their own."""
    changed: list[Callable[[str], None]] = attrs.field(factory=list)
    dropped: set[bytes] = attrs.field(factory=set)
    """Names of records that say of a namespace that it was dropped."""
    any_keeps_newest: bool = False
    """Whether some namespace is of mode last_write_wins."""
    is_known: bool = True
    """False while a node that has begun without memory may lack settings that the others have and that say where keys
    are; it serves no namespace so long."""
    any_factor: bool = False
    """Whether some namespace has, or had, a replication factor of its own."""
    _by_prefix: dict[bytes, NamespaceSettings] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Follow the catalogue from now on."""
        self.catalogue.listeners.append(self._follow)
        self.catalogue.dropped.append(self._forget)

    def of(self, key: bytes) -> NamespaceSettings:
        """Return the settings for a qualified key; raises ``InvalidRequest`` for a malformed one."""
        if key[0]:
            return self.default or DEFAULTS
        found = self._by_prefix.get(key[: 2 + key[1]]) if len(key) > 1 else None
        if found is None:
            start = prefix_of(key)
            self.require_known()
            if len(self._by_prefix) >= PREFIXES_LIMIT:
                self._by_prefix.clear()
            found = self._by_prefix[start] = self._placed(start)
        if not 2 + key[1] < len(key) <= 2 + key[1] + USER_KEY_LIMIT_BYTES:
            size = len(key) - 2 - key[1]
            raise InvalidRequest(f"key: got {size} bytes after the namespace, expected 1 to {USER_KEY_LIMIT_BYTES}")
        return found

    def require_known(self) -> None:
        """Raise ``NotReady`` while this node may not know where keys of namespaces are, see ``is_known``."""
        if not self.is_known:
            raise NotReady("this node has begun a moment ago and has not heard of the namespaces' settings yet")

    def _placed(self, start: bytes) -> NamespaceSettings:
        """Return the settings for keys with a prefix, with the factor that they carry or are to carry."""
        name = bare(start[2:]).decode()
        settings = self.named(name)
        factor = factor_in(start) or self.factor(name)
        return settings if settings.replication_factor == factor else attrs.evolve(settings, replication_factor=factor)

    def factor(self, name: str) -> int:
        """Return the replication factor that a namespace has of its own, 0 if that is the cluster's."""
        factor = self.named(name).replication_factor
        return 0 if factor == self.cluster_factor else factor

    def placed(self, key: bytes) -> bytes:
        """Return a qualified key of a client's as nodes know it, with the factor of its namespace; raises as ``of``."""
        factor = 0 if key[0] else self.of(key).replication_factor
        return with_factor(key, factor) if factor and not factor_in(key) else key

    def is_placed(self, key: bytes) -> bool:
        """Tell whether a key carries the factor that its namespace has, as far as this node knows; never raises."""
        if key[0] or not self.any_factor:
            return True
        return factor_in(key) == self.factor(namespace_of(key))

    def named(self, name: str) -> NamespaceSettings:
        """Return the settings of a namespace; the defaults where nobody has set any."""
        return self.by_name.get(name, DEFAULTS)

    def version(self, name: str) -> int:
        """Return the stamp of the settings in force, 0 where there are none."""
        known = self.catalogue.get(SETTINGS_KIND + name.encode())
        return 0 if known is None else known[0]

    def keeps_newest(self, key: bytes) -> bool:
        """Tell whether the store keeps one value alone of this key; never raises."""
        if not self.any_keeps_newest:
            return False
        if key[0]:
            return self.default is not None and self.default.keeps_newest
        return self.named(namespace_of(key) if len(key) > 1 else DEFAULT).keeps_newest

    def change(self, name: str, options: Mapping[str, Any], seen: int | None, stamp: int) -> Entry:
        """Return the catalogue's entry that changes some settings of a namespace.

        ``seen`` is the version that the caller has looked at, None for whichever is in force; ``stamp`` the present on
        the hybrid clock. Raises ``InvalidRequest`` for options that cannot be, and for another version than ``seen``;
        ``Overloaded`` when that many namespaces have settings already.
        """
        check_name(name)
        held = self.named(name)
        settings = held.changed(options)
        if settings == held and name in self.by_name:
            return (SETTINGS_KIND + name.encode(), self.version(name), held.to_value())  # said before
        self._check_factor(name, held, settings)
        if name == DEFAULT and settings.memory_share:
            raise InvalidRequest(
                f"memory_share: got {settings.memory_share}, expected 0: the default namespace has what others leave"
            )
        others = sum(each.is_group for other, each in self.by_name.items() if other not in (DEFAULT, name))
        if name != DEFAULT and settings.is_group and others >= GROUPS_LIMIT:
            raise Overloaded(f"{others} namespaces have a policy or a share of the memory of their own, the limit")
        if name not in self.by_name and len(self.by_name) >= NAMESPACES_LIMIT:
            raise Overloaded(f"{len(self.by_name)} namespaces have settings of their own, the limit")
        return (SETTINGS_KIND + name.encode(), self._next(name, seen, stamp), settings.to_value())

    def _check_factor(self, name: str, held: NamespaceSettings, settings: NamespaceSettings) -> None:
        factor, before = settings.replication_factor, held.replication_factor
        if name == DEFAULT and factor:
            raise InvalidRequest(
                f"replication_factor: got {factor}, expected 0: the default namespace has the cluster's,"
                f" {self.cluster_factor}; make a namespace for what needs another"
            )
        if name in self.by_name and factor != before:
            wanted = f"with {factor}" if factor else "without one"
            raise InvalidRequest(
                f"replication_factor: got {factor}, expected {before}: it is chosen with a namespace's first setting;"
                f" make a new namespace {wanted}, or drop {name} with all that it holds and make it anew"
            )

    def drop(self, name: str, seen: int | None, stamp: int) -> Entry:
        """Return the entry that sets a namespace back to the defaults. Raises as ``change``."""
        check_name(name)
        if name not in self.by_name and self.catalogue.get(SETTINGS_KIND + name.encode()) is not None:
            return (SETTINGS_KIND + name.encode(), self.version(name), b"")  # said before
        return (SETTINGS_KIND + name.encode(), self._next(name, seen, stamp), b"")

    def for_clients(self) -> dict[str, str]:
        """Return what clients must know: the compression of each namespace that has one."""
        return {name: each.compression for name, each in sorted(self.by_name.items()) if each.compression}

    def factors_for_clients(self) -> dict[str, int]:
        """Return what clients must know to ask an owner at once: the factor of each namespace that has one."""
        factors = ((name, self.factor(name)) for name in sorted(self.by_name))
        return {name: factor for name, factor in factors if factor}

    def _next(self, name: str, seen: int | None, stamp: int) -> int:
        version = self.version(name)
        if seen is not None and seen != version:
            shown = name or "default"
            raise InvalidRequest(
                f"version: got {seen}, expected {version}: the settings of namespace {shown} were changed meanwhile"
            )
        return max(stamp, version + 1)

    def _forget(self, name: bytes) -> None:
        self._follow(name, 0, b"")
        self.dropped.discard(name)

    def _follow(self, name: bytes, stamp: int, value: bytes) -> None:
        if name[:1] != SETTINGS_KIND:
            return
        try:
            namespace = check_name(name[1:].decode())
        except (InvalidRequest, UnicodeDecodeError):
            return
        if value:
            settings = NamespaceSettings.from_value(value)
            self.by_name[namespace] = settings if namespace else attrs.evolve(settings, replication_factor=0)
            self.dropped.discard(name)
        else:
            self.by_name.pop(namespace, None)
            self.dropped.add(name)
        if namespace == DEFAULT:
            self.default = self.by_name.get(namespace)
            self._by_prefix.pop(b"\x00\x00", None)
        else:
            for factor in range(FACTOR_LIMIT + 1):
                self._by_prefix.pop(prefix(namespace, factor), None)
        self.any_factor = self.any_factor or bool(self.factor(namespace))
        self.any_keeps_newest = any(each.keeps_newest for each in self.by_name.values())
        for listener in self.changed:
            listener(namespace)
