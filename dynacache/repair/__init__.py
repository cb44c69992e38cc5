"""Repair: whatever brings copies to where they belong, without a client asking for it.

What, in the order in which a stranger should read it: ``ports`` (the node as these cores see it), then one family of
modules after the other; the first named of each is its core or its heart.

``hints``        what is kept for owners that are away (``coordination.hint_replay`` brings it to them)
``ring_change``  a node joins, leaves, comes back: ``ring_rules`` (pure), ``ring_confirmations``, ``ring_removal``
``transfer``     a node fills what it lacks: ``warming`` (when is a partition complete again? pure), ``warming_plan``,
                 ``transfer_source`` and ``transfer_merge`` (taking), ``transfer_serve`` (giving),
                 ``transfer_messages``, ``transfer_rate``, ``transfer_store``
``exchange``     owners compare and mend: ``exchange_drive`` (the course of one), ``exchange_session`` (its questions),
                 ``exchange_repair`` and ``exchange_decisions`` (what to do about leaves and about keys, by the table
                 in ``differences``), ``exchange_answers`` with ``exchange_listing`` (the other side),
                 ``exchange_peer`` and ``exchange_settled`` (what is known of a peer), ``exchange_ground`` (what both
                 sides stand on), ``exchange_steps`` and ``exchange_pace`` (who goes on when), ``exchange_nodes`` and
                 ``exchange_tags`` (numbers), ``exchange_store``, ``sync_times``
``copy_state``   what a node says of its own copies, in messages of all three cores

Invariant: the three cores never call each other. They meet in the bitmaps ``warming`` and ``stale`` of the store, in
the member table, and in the few callbacks that ``node.core`` ties (``Transfer.ended``, ``Exchange.departing``).
"""
