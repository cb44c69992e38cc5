"""Observability: counters that the hot path may afford, and the reports made of them."""
