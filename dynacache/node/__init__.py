"""One node: every core composed, one call a turn."""

from dynacache.node.core import Node

__all__ = ["Node"]
