"""What an operator orders and asks about namespaces: settings set and dropped, what each holds.

What: ``NamespaceOrders`` makes entries of the catalogue of orders, applies changed settings to the store and the
clients' topology, and reports every namespace that this node knows of, with settings or with entries.

Invariant: an order is answered when the catalogue's change has reached the level asked for, and refused with nothing
changed otherwise. The report is bounded by the store's census and the limit of settings.

Why any node: the catalogue is everywhere, so a change needs no node in particular.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from dynacache.coordination.catalogue import Entry
from dynacache.coordination.namespaces import SETTINGS_KIND
from dynacache.coordination.shared import Shared
from dynacache.errors import InvalidRequest, Overloaded
from dynacache.namespaces.names import DEFAULT, bare, check_name, prefix
from dynacache.namespaces.settings import NamespaceSettings
from dynacache.placement.partitions import factor_in
from dynacache.placement.table import FACTORS_LIMIT, FACTORS_PARTITION_LIMIT
from dynacache.storage.census import Tenant
from dynacache.storage.engine import Engine
from dynacache.storage.eviction.groups import GroupSettings
from dynacache.types import Level
from dynacache.wire.epoch_names import FLUSH, epoch_name

if TYPE_CHECKING:
    from dynacache.node.members import Members

__all__ = ["Later", "NamespaceOrders"]

_ESCAPED = b"\x00\x00"
"""The prefix of keys of the default namespace that begin with byte 0."""
_RETIRE_INTERVAL_S = 10.0


@attrs.frozen
class Later:
    """An order whose answer waits for the catalogue: the entries, the level, and what to answer then."""

    entries: tuple[Entry, ...]
    level: int
    answer: Callable[[], dict[str, Any]]


@attrs.define(eq=False)
class NamespaceOrders:
    """The namespaces of one node, for its operator."""

    shared: Shared
    engine: Engine
    members: "Members"
    retention_ms: int
    """How long it is remembered that a namespace was dropped: as long as epochs are."""
    _told: tuple[dict[str, str], dict[str, int]] = attrs.field(factory=lambda: ({}, {}))
    _groups: tuple[str, tuple[GroupSettings, ...]] | None = None
    _next_retire_s: float = 0.0

    def __attrs_post_init__(self) -> None:
        """Apply settings whenever they change."""
        self.shared.namespaces.changed.append(self._apply)
        self.shared.catalogue.accepts.append(
            lambda name, stamp, value: name[:1] != SETTINGS_KIND or not self._is_over(stamp, value)
        )

    def change(
        self, name: str, options: dict[str, Any], version: int | None = None, write_level: int = Level.QUORUM
    ) -> Later:
        """Change some settings; ``version`` is the one that the operator has seen. Raises as ``Namespaces.change``."""
        self.shared.namespaces.require_known()
        for option in options:
            if not isinstance(option, str):
                raise InvalidRequest(f"option: got {option!r:.80}, expected its name")
        entry = self.shared.namespaces.change(name, options, version, self._stamp())
        if self._require_room(NamespaceSettings.from_value(entry[2]).replication_factor, name):
            write_level = Level.ALL  # until each node knows it, entries are written to two places
        return Later((entry,), write_level, lambda: self.one(name))

    def _require_room(self, factor: int, name: str) -> bool:
        """Tell whether a namespace gets a replication factor of its own now. Raises ``InvalidRequest`` or
        ``Overloaded`` where the cluster can have no further one."""
        table = self.members.table
        if factor in (0, table.replication_factor) or self.shared.namespaces.named(name).replication_factor:
            return False
        factors = [each for each, _ in table.factors]
        if table.partition_count > FACTORS_PARTITION_LIMIT:
            raise InvalidRequest(
                f"replication_factor: got {factor}, expected 0: a cluster of {table.partition_count} partitions has its"
                f" own alone; others need {FACTORS_PARTITION_LIMIT} partitions at most"
            )
        if factor not in factors and len(factors) >= FACTORS_LIMIT:
            raise Overloaded(
                f"replication_factor: got {factor}, expected {table.replication_factor} or one of"
                f" {', '.join(map(str, factors))}: a cluster has at most {FACTORS_LIMIT} beside its own"
            )
        return True

    def drop(self, name: str, version: int | None = None, write_level: int = Level.QUORUM) -> Later:
        """Set a namespace back to the defaults, and flush it."""
        self.shared.namespaces.require_known()
        entry = self.shared.namespaces.drop(name, version, self._stamp())
        clock = self.shared.clock
        flush = (epoch_name(FLUSH, name.encode()), clock.last + (clock.max_skew_ms << 16), b"")
        return Later((entry, flush), write_level, lambda: self.one(name))

    def tick(self) -> None:
        """Forget what was dropped so long ago that nobody can bring older settings any more."""
        if self.shared.now_s < self._next_retire_s:
            return
        self._next_retire_s = self.shared.now_s + _RETIRE_INTERVAL_S
        for name in sorted(self.shared.namespaces.dropped):
            known = self.shared.catalogue.get(name)
            if known is None or self._is_over(*known):
                self.shared.catalogue.drop(name)

    def one(self, name: str) -> dict[str, Any]:
        """Return settings, version and what this node holds of one namespace; raises ``InvalidRequest``."""
        namespaces = self.shared.namespaces
        check_name(name)
        held = self._held().get(name, (0, 0))
        return {
            "name": name,
            "version": namespaces.version(name),
            "settings": namespaces.named(name).to_map(),
            "is_set": name in namespaces.by_name,
            "entries": held[0],
            "bytes": held[1],
        }

    def report(self, name: object = None) -> dict[str, Any]:
        """Return one namespace, or all that this node knows of, the default one first; raises ``InvalidRequest``."""
        node = self.shared.node_id
        if name is not None:
            return {"node": node, **self.one(check_name(name))}
        names = {DEFAULT, *self.shared.namespaces.by_name, *self._held()}
        other = self.engine.census.other
        return {
            "node": node,
            "namespaces": [self.one(each) for each in sorted(names)],
            "other": {"entries": other.entries, "bytes": other.size_bytes},
        }

    def _held(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes by namespace; those of the default one are the rest."""
        census = self.engine.census
        found: dict[str, tuple[int, int]] = {}
        tenants = [tenant for tenant in census.tenants.values() if tenant.entries and tenant.prefix != _ESCAPED]
        for tenant in tenants:
            entries, size_bytes = found.get(_name_of(tenant), (0, 0))
            found[_name_of(tenant)] = (entries + tenant.entries, size_bytes + tenant.size_bytes)
        entries, size_bytes = self.engine.held()
        rest = [*tenants, census.other]
        found[DEFAULT] = (
            entries - sum(tenant.entries for tenant in rest),
            size_bytes - sum(tenant.size_bytes for tenant in rest),
        )
        return found

    def _stamp(self) -> int:
        clock = self.shared.clock
        clock.last += 1
        return clock.last

    def _is_over(self, stamp: int, value: bytes) -> bool:
        return not value and self.shared.now_ms - (stamp >> 16) > self.retention_ms and not self.engine.stale

    def _apply(self, name: str) -> None:
        namespaces = self.shared.namespaces
        self.engine.keeps_newest = namespaces.keeps_newest if namespaces.any_keeps_newest else None
        factor = namespaces.factor(name)
        if factor:
            self.members.add_factor(factor, namespaces.version(name) >> 16)
        self._group()
        told = namespaces.for_clients(), namespaces.factors_for_clients()
        if told != self._told:
            self._told = told
            self.members.topology_changed = True

    def _group(self) -> None:
        """Tell the store which namespaces have a policy or a share of their own. The default namespace's policy is that
        of everybody who has none."""
        by_name = self.shared.namespaces.by_name
        factor_of = self.shared.namespaces.factor
        default = by_name.get(DEFAULT)
        policy = (default.eviction if default else "") or self.engine.settings.eviction
        groups = tuple(
            GroupSettings(prefix(name, factor_of(name)), settings.eviction, float(settings.memory_share))
            for name, settings in sorted(by_name.items())
            if name != DEFAULT and (settings.eviction or settings.memory_share)
        )
        if (policy, groups) != self._groups:
            self._groups = policy, groups
            self.engine.set_groups(groups, policy)


def _name_of(tenant: Tenant) -> str:
    name = bare(tenant.prefix[2:]).decode("ascii", "replace")
    return name if prefix(name, factor_in(tenant.prefix)) == tenant.prefix else repr(tenant.prefix)
