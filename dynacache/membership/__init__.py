"""Who is there: SWIM with Lifeguard as a sans-IO core, and the birth of a cluster.

`Swim` (module `swim`) is the machine; `state` holds member records and their order, `effects` what the core asks for.
The other modules are its parts, each with one rule or one table. `birth` is independent of them.
"""
