"""Messages as Hypothesis draws them: a kind, then any plain values."""

from hypothesis import strategies as st

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=10),
    st.binary(max_size=40),
)
plain_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
messages = st.builds(lambda kind, fields: [kind, *fields], st.integers(0, 127), st.lists(plain_values, max_size=6))
batches = st.lists(messages, max_size=20)
