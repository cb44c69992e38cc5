"""Coordination: quorum reads and writes at the node a request came to, and the replica's side of them.

What, in the order of a request: ``gate`` (every request enters here; ``requests`` parses it), ``forward`` (not ours to
serve), ``write`` and ``write_group`` (mint, replicate, count), ``read``, ``read_batch`` and ``read_operation`` (ask,
compare, merge; ``read_repair`` and ``read_reply`` end it), ``conditional`` (look before you write), ``replica`` (the
other side of all of these). What they share: ``shared`` (one turn), ``routes`` (who is asked), ``links`` (who can be
reached), ``tally`` (who has answered), ``timeline`` (deadlines), ``operation_ids``, ``counters``, ``misses``. Hints end
in ``hint_replay`` and ``hint_offer``; where they are kept is ``repair.hints``.
"""
