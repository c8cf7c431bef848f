"""Figures that the build computes, each for the light and the dark theme.

``figures.DRAWINGS`` lists functions that return a matplotlib figure. The directive ``drawing``
inserts one into a page::

    ```{drawing} leaves
    :alt: A description of the picture for screen readers.

    The caption.
    ```

``figures.NUMBERS`` lists functions that return a number or text. A page refers to the result with
``{{ name }}``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import figures
import matplotlib
from cycler import cycler
from docutils import nodes
from docutils.parsers.rst import Directive, directives

import lightning_leaf

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx
    from sphinx.config import Config

FOLDER = Path(__file__).parents[1] / "_generated"
PAGE_COLOURS = {"light": "#ffffff", "dark": "#131416"}
INKS = {"light": "#30343b", "dark": "#c9ced6"}
COLOURS = {
    "light": [
        "#0072b2", "#d55e00", "#009e73", "#b04f9a", "#8c6d00",
        "#6b7278", "#5a4fcf", "#c0392b", "#2c9ab7", "#6a8f1f",
    ],
    "dark": [
        "#4ba3e0", "#f0803c", "#2fc296", "#dd8fce", "#d6b13c",
        "#9aa0a6", "#a096f0", "#f0796d", "#66cbe0", "#a9cc5b",
    ],
}  # fmt: skip


class Drawing(Directive):
    """A directive that inserts a computed figure with its caption, one picture for each theme."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"alt": directives.unchanged_required}
    has_content = True

    def run(self) -> list[Node]:
        name = self.arguments[0]
        figure = nodes.figure("", align="center")
        pictures = nodes.container(classes=["drawing"])
        for theme in PAGE_COLOURS:
            pictures += nodes.image(
                uri=f"/_generated/{name}-{theme}.svg",
                alt=self.options["alt"],
                classes=[f"only-{theme}"],
            )
        figure += pictures
        caption = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, caption)
        paragraphs = list(caption.children)
        figure += nodes.caption("", "", *paragraphs[0].children)
        if paragraphs[1:]:
            figure += nodes.legend("", *paragraphs[1:])
        return [figure]


def draw_all(app: Sphinx, config: Config) -> None:
    """Draw all figures if something has changed since the last build; pass numbers to the pages."""
    numbers = FOLDER / "numbers.json"
    digest = _digest()
    if not numbers.exists() or json.loads(numbers.read_text())["digest"] != digest:
        FOLDER.mkdir(exist_ok=True)
        numbers.write_text(json.dumps(_draw() | {"digest": digest}, indent=1))
    config.myst_substitutions = config.myst_substitutions | json.loads(numbers.read_text())


def _draw() -> dict[str, Any]:
    matplotlib.use("agg")
    for theme, ink in INKS.items():
        with matplotlib.rc_context(_style(theme, ink)):
            for draw in figures.DRAWINGS:
                # Without a date, the same figure gives the same bytes.
                draw().savefig(
                    FOLDER / f"{draw.__name__}-{theme}.svg",
                    metadata={"Date": None},
                    bbox_inches="tight",
                )
    return {number.__name__: number() for number in figures.NUMBERS}


def _style(theme: str, ink: str) -> dict[str, Any]:
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor")
    return {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.frameon": False,
        "legend.fontsize": "small",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.prop_cycle": cycler("color", COLOURS[theme]),
        "grid.color": PAGE_COLOURS[theme],  # the colour behind the figure, for outlines
        "svg.hashsalt": "lightning-leaf",
        "svg.fonttype": "path",
        **dict.fromkeys((*inked, "xtick.color", "ytick.color"), ink),
    }


def _digest() -> str:
    """Return a digest of all code and data on which the figures depend."""
    found = hashlib.sha256()
    package, results = Path(lightning_leaf.__file__).parent, figures.paper.RESULTS
    sources = [*Path(__file__).parent.rglob("*.py"), *package.rglob("*.py"), *results.glob("*")]
    for file in sorted(sources):
        found.update(file.read_bytes())
    found.update(sys.version.encode())
    return found.hexdigest()


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("drawing", Drawing)
    app.connect("config-inited", draw_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
