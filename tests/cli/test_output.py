"""Answers: one JSON document whatever the value, tables that are not cut, sentences with exit codes."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynacache.cli.output import Answer, Rows, jsonable, show, tell_error
from dynacache.errors import AddressInUse, NotEnoughReplicas, TimedOut

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
    max_leaves=10,
)


@given(values)
def test_any_value_becomes_one_json_document(value: Any) -> None:
    stream = io.StringIO()
    assert show(Answer({"value": value}), "json", stream) == 0
    assert stream.getvalue().count("\n") == 1
    assert set(json.loads(stream.getvalue())) == {"value"}


@given(st.binary())
def test_bytes_that_are_no_text_are_marked(content: bytes) -> None:
    shown = jsonable(content)
    try:
        assert shown == content.decode()
    except UnicodeDecodeError:
        assert set(shown) == {"base64"}


def test_a_map_is_never_mistaken_for_marked_bytes() -> None:
    assert jsonable({"base64": "AA=="}) == {"map": {"base64": "AA=="}}
    assert jsonable({"map": 1}) == {"map": {"map": 1}}


def test_tables_show_every_cell_uncut() -> None:
    stream = io.StringIO()
    rows = Rows("title [x]", ("key", "value"), (("a", "v" * 150), ("[red]b", None)))
    assert show(Answer({}, tables=(rows,)), "table", stream) == 0
    for text in ("title [x]", "key", "v" * 150, "[red]b", "None"):
        assert text in stream.getvalue()


def test_text_and_complaint_go_to_their_own_streams() -> None:
    stream, errors = io.StringIO(), io.StringIO()
    answer = Answer({}, text="said", complaint="but", exit_code=3)
    assert show(answer, "table", stream, errors) == 3
    assert (stream.getvalue(), errors.getvalue()) == ("said\n", "but\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AddressInUse("taken\nby another"), 10),
        (NotEnoughReplicas(""), 4),
        (TimedOut("late"), 5),
        (ValueError("bad"), 1),
    ],
)
def test_errors_are_one_sentence_with_their_code(error: Any, code: int) -> None:
    errors = io.StringIO()
    assert tell_error(error, errors) == code
    assert errors.getvalue().startswith("dynacache: ")
    assert errors.getvalue().count("\n") == 1
    assert len(errors.getvalue()) > len("dynacache: \n")


def test_remarks_come_after_the_tables_and_not_into_a_document() -> None:
    answer = Answer({}, tables=(Rows("title", ("a",), ((1,),)),), remarks=("one", "two"))
    stream = io.StringIO()
    show(answer, "table", stream)
    assert stream.getvalue().endswith("\none\ntwo\n")
    stream = io.StringIO()
    show(answer, "json", stream)
    assert stream.getvalue() == "{}\n"
