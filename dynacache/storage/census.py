"""How much each namespace holds, counted as entries come and go.

What: a ``Tenant`` counts the live entries of one namespace and the bytes of their keys and records; ``Census`` finds
the tenant of a key by the prefix that the key carries (``namespaces.names``).

Invariant: the tenants' counts are those of a recount of the tables. Keys of the default namespace are not looked up:
their counts are the store's less those of all tenants. At most ``TENANTS_LIMIT`` namespaces have tenants of their own;
what comes after them is counted together, under ``OTHER``. A tenant that holds nothing gives its place away when it is
needed, unless somebody has pinned it by giving it a ``group``.

Why by prefix and not by name: the prefix is a slice of the key, and one slice and one dictionary look-up is all that an
insertion into a namespace pays.
"""

from typing import Final

import attrs

__all__ = ["OTHER", "TENANTS_LIMIT", "Census", "Tenant"]

TENANTS_LIMIT: Final = 1_000
OTHER: Final = b""
"""The prefix that stands for all namespaces beyond the limit."""


@attrs.define(eq=False, weakref_slot=False)
class Tenant:
    """The live entries of one namespace. ``group`` is the eviction group it belongs to, 0 the common one."""

    prefix: bytes
    entries: int = 0
    size_bytes: int = 0
    group: int = 0


@attrs.define(eq=False)
class Census:
    """All tenants by prefix."""

    tenants: dict[bytes, Tenant] = attrs.field(factory=dict)
    other: Tenant = attrs.field(factory=lambda: Tenant(OTHER))

    def tenant(self, key: bytes) -> Tenant:
        """Return the tenant of a qualified key that begins with byte 0, made when first met."""
        prefix = key[: 2 + key[1]] if len(key) > 1 else key
        tenant = self.tenants.get(prefix)
        return self.of_prefix(prefix) if tenant is None else tenant

    def of_prefix(self, prefix: bytes) -> Tenant:
        """Return the tenant of a namespace, made when first met; ``other`` when there is no room for one more."""
        tenant = self.tenants.get(prefix)
        if tenant is None:
            if len(self.tenants) >= TENANTS_LIMIT and not self._make_room():
                return self.other
            tenant = self.tenants[prefix] = Tenant(prefix)
        return tenant

    @property
    def is_used(self) -> bool:
        """Whether any key of a namespace was ever counted."""
        return bool(self.tenants) or self.other.entries > 0

    def count(self, key: bytes, entries: int, size_bytes: int) -> None:
        """Count entries and bytes more, or fewer, of the namespace of a qualified key that begins with byte 0."""
        tenant = self.tenant(key)
        tenant.entries += entries
        tenant.size_bytes += size_bytes

    def _make_room(self) -> bool:
        """Forget a tenant that holds nothing. Not while ``other`` holds something: entries of a namespace are counted
        in one place from first to last, and that may be there."""
        if self.other.entries:
            return False
        for prefix, tenant in self.tenants.items():
            if not tenant.entries and not tenant.group:
                del self.tenants[prefix]
                return True
        return False
