"""Repair: hints for owners that are away (Merkle exchange and transfer join them here later)."""
