"""Member records and claims, mostly about few nodes and few lives, so that they collide."""

from hypothesis import strategies as st

from dynacache.membership.state import Claim, Member, NodeState

__all__ = ["claims", "members", "texts"]


def texts(limit_bytes: int) -> st.SearchStrategy[str]:
    """Texts that are not empty and whose UTF-8 form has at most so many bytes."""
    return st.text(min_size=1, max_size=limit_bytes // 4)


@st.composite
def members(draw: st.DrawFn, node_ids: tuple[str, ...] = ("a", "b"), *, wide: bool = False) -> Member:
    """Records about one of `node_ids`; `wide` ones use the whole range of every field."""
    state = draw(st.sampled_from(NodeState))
    return Member(
        node_id=draw(texts(64)) if wide else draw(st.sampled_from(node_ids)),
        host=draw(texts(255)) if wide else draw(st.sampled_from(["10.0.0.8", "10.0.0.9"])),
        port=draw(st.integers(0, 65_535)) if wide else 7000,
        generation=draw(st.integers(0, 2**64 - 1 if wide else 2)),
        incarnation=draw(st.integers(0, 2**32 - 1 if wide else 2)),
        state=state,
        stopped=state is NodeState.LEFT and draw(st.booleans()),
        zone=draw(texts(64)) if wide else "",
        weight=draw(st.integers(1, 2**32 - 1)) if wide else 1,
        protocol_minimum=1,
        protocol_maximum=draw(st.integers(1, 255)) if wide else 1,
    )


def claims(node_ids: tuple[str, ...] = ("a", "b")) -> st.SearchStrategy[Claim]:
    """Claims by one of three sources."""
    return st.builds(Claim, members(node_ids), st.sampled_from(["x", "y", "z"]))
