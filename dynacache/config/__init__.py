"""Configuration: one frozen tree of attrs classes, one paragraph a field.

What: each section belongs to one part of the node and that part receives only its section. ``Config`` joins them and
checks what concerns more than one section.

Invariant: a ``Config`` that exists is valid; nothing changes it afterwards.

Why: a core that is handed five numbers can be tested with five numbers. Loading from files, environment and flags
lives in ``runtime/settings.py``, because a core reads no files.
"""

from dynacache.config.cluster import ClusterConfig
from dynacache.config.coordination import CoordinationConfig
from dynacache.config.hints import HintConfig
from dynacache.config.membership import MembershipConfig
from dynacache.config.memory import MemoryConfig
from dynacache.config.network import NetworkConfig
from dynacache.config.observability import ObservabilityConfig
from dynacache.config.repair import RepairConfig
from dynacache.config.root import Config
from dynacache.config.storage import StorageSettings
from dynacache.config.transfer import TransferConfig

__all__ = [
    "ClusterConfig",
    "Config",
    "CoordinationConfig",
    "HintConfig",
    "MembershipConfig",
    "MemoryConfig",
    "NetworkConfig",
    "ObservabilityConfig",
    "RepairConfig",
    "StorageSettings",
    "TransferConfig",
]
