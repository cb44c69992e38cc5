"""The world that cores run in: time, network, clocks, machines, clients."""
