"""Wire: the messages between nodes and clients, their codec, framing and the hello."""
