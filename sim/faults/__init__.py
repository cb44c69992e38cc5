"""Faults: a schedule that is data, how it is drawn, how it is applied."""
