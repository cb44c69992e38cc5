"""Planted bugs: a catalogue of faults in the product, each with the invariant that must catch it."""
