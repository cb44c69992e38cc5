"""Load: a generator in a process of its own, the systems it drives, and the comparison of their figures."""
