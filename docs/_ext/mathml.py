"""Convert formulas to MathML during the build, so that pages need no script to show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from docutils import nodes
from latex2mathml.converter import convert

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


def mathml(formula: str, display: Literal["inline", "block"]) -> str:
    """Return a formula in TeX as MathML.

    Raises:
        ValueError: If the converter does not know a command of the formula.
    """
    converted: str = convert(formula, display=display)
    if "\\" in converted:  # the converter does not change unknown commands
        raise ValueError(f"Expected a formula that latex2mathml knows; got {formula!r}.")
    return converted


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
