"""The whole configuration of one node.

What: the sections together, and the checks that concern two of them.

Invariant: hints die before tombstones may be reaped early, and a hint lives longer than any request, otherwise a late
hint could bring back what a delete removed (brief rule R2.4).

Why here: a section cannot check a rule about its neighbour.
"""

import attrs

from dynacache.config.cluster import ClusterConfig
from dynacache.config.coordination import CoordinationConfig
from dynacache.config.hints import HintConfig
from dynacache.config.membership import MembershipConfig
from dynacache.config.memory import MemoryConfig
from dynacache.config.network import NetworkConfig
from dynacache.config.observability import ObservabilityConfig
from dynacache.config.repair import RepairConfig
from dynacache.config.storage import StorageSettings
from dynacache.config.transfer import TransferConfig
from dynacache.errors import InvalidOption

__all__ = ["Config"]


@attrs.frozen
class Config:
    """Every section of a node's configuration; each has working defaults."""

    network: NetworkConfig = attrs.field(factory=NetworkConfig)
    cluster: ClusterConfig = attrs.field(factory=ClusterConfig)
    coordination: CoordinationConfig = attrs.field(factory=CoordinationConfig)
    storage: StorageSettings = attrs.field(factory=StorageSettings)
    memory: MemoryConfig = attrs.field(factory=MemoryConfig)
    membership: MembershipConfig = attrs.field(factory=MembershipConfig)
    hints: HintConfig = attrs.field(factory=HintConfig)
    repair: RepairConfig = attrs.field(factory=RepairConfig)
    transfer: TransferConfig = attrs.field(factory=TransferConfig)
    observability: ObservabilityConfig = attrs.field(factory=ObservabilityConfig)

    def __attrs_post_init__(self) -> None:
        """Check the rules that span sections."""
        latest_hint_ms = (
            self.hints.lifetime_ms + self.coordination.longest_timeout_ms + self.coordination.max_clock_skew_ms
        )
        if self.storage.gc_grace_min_ms <= latest_hint_ms:
            raise InvalidOption(
                f"storage.gc_grace_min_ms: got {self.storage.gc_grace_min_ms}, expected more than {latest_hint_ms}"
                " (hints.lifetime_ms + coordination.longest_timeout_ms + coordination.max_clock_skew_ms)"
            )
