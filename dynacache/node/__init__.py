"""One node: every core composed, one call a turn.

What: ``core`` (the turn), ``peer_messages`` (dispatch of what peers send), ``members`` (the member table, SWIM and
links), ``upkeep`` and ``repair_port`` (the repair cores and their view of the node), ``clock_watch`` and ``quarantine``
(can this clock be trusted, and what if not), ``closing`` (drained, stopped, gone), ``reports``, ``explanation`` and
``commands`` (what operators ask and order).
"""

from dynacache.node.core import Node

__all__ = ["Node"]
