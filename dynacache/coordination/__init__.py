"""Coordination: quorum reads and writes at the node a request came to, and the replica's side of them."""
