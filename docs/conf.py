"""How the documentation is built: Sphinx with furo and MyST, offline, warnings as errors (`just docs`)."""

import ast
import inspect
import itertools
import re
import sys
from pathlib import Path
from typing import Any

import attrs
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

project = "dynacache"
author = "the dynacache authors"
copyright = "the dynacache authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}
default_role = "code"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False

html_theme = "furo"
html_title = "dynacache"
html_show_sphinx = False
html_copy_source = False


def attribute_docs(section: type) -> dict[str, str]:
    """The text below each field of a class, by the field's name."""
    body = ast.parse(inspect.getsource(section)).body[0].body
    return {
        field.target.id: " ".join(inspect.cleandoc(text.value.value).split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


class ConfigSections(SphinxDirective):
    """Every option of the configuration with its default and its paragraph, from the classes themselves."""

    def run(self) -> list[nodes.Node]:
        """Write the options as Markdown definitions and have them parsed."""
        from dynacache.config import Config

        lines: list[str] = []
        for section in attrs.fields(attrs.resolve_types(Config)):
            docs = attribute_docs(section.type)
            for option in attrs.fields(section.type):
                if option.init:
                    name = f"{section.name}.{option.name}"
                    lines += [f"`{name}` = `{self.shown(option.default)}`", f": {docs[option.name]}", ""]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, source="config"), self.content_offset, container)
        return container.children

    @staticmethod
    def shown(default: Any) -> str:
        """A default as it would be written in a file."""
        if default is None:
            return "none"
        if isinstance(default, tuple | list):
            return "[]"
        return f"{default:_}" if isinstance(default, int) and default >= 100_000 else repr(default).replace("'", '"')


def plain_returns(app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, returns: str) -> Any:
    """Operations are built as calls and carried to their end: show what the caller gets."""
    return signature, re.sub(r"^(?:[\w.]*\.)?Call\[(.*)\]$", r"\1", returns) if returns else returns


def setup(app: Sphinx) -> None:
    """Register what is ours."""
    app.add_directive("config-sections", ConfigSections)
    app.connect("autodoc-process-signature", plain_returns)
