"""The thin layer that touches the world: sockets, clocks, signals, settings, logs. Nothing here decides protocol."""
