"""A small model of ring changes: the rules alone, without stores, codecs or real tables (see ``sim.ring.model``)."""
