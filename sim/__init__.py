"""The simulator: whole clusters of the real node core under virtual time, with faults, judged from outside."""
