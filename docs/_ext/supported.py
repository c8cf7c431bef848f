"""The directives ``supported`` and ``public-reports``, which insert the tests' table into a page.

The rows are those of ``tests/support/trainers``, which ``tests/trainers/test_kinds.py`` runs::

    ```{supported} Models
    ```

    ```{public-reports}
    ```
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from docutils.nodes import Node
    from sphinx.application import Sphinx

    from tests.support.trainers.kinds import Kind

HAPPENS = {"works": "works", "error": "fails without an argument; the error names it"}


def kinds() -> list[Kind]:
    """Return all rows of the table."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from tests.support.trainers.table import KINDS

    return KINDS


def supported(group: str) -> str:
    """Return the rows of a group as a table in Markdown."""
    return _table(
        ("you have", "what happens", "what to write", "reported as"),
        ((row.what, happens(row), arguments(row.write), sources(row)) for row in _of(group)),
    )


def arguments(write: str) -> str:
    """Return arguments as code, each alone so that lines break between them."""
    parts = re.split(r", (?=(?:forward|batch)=)|; ", write)
    return ", ".join(f"`{part}`" for part in parts if part)


def sources(row: Kind) -> str:
    """Return the numbers of the public reports, without the owners of the repositories."""
    return ", ".join(report.source.partition("/")[2] for report in row.reports)


def happens(row: Kind) -> str:
    """Return what the callbacks do without further arguments."""
    text = HAPPENS.get(row.happens, row.happens)
    if row.refused is not None and not row.write:
        text = "an error"
    return f"{text}. {row.note}" if row.note else text


def public_reports() -> str:
    """Return all reports as a table in Markdown."""
    return _table(
        ("report", "what is measured or trained", "when first tried", "now"),
        (
            (report.source, report.trains, report.tried, now(row))
            for row in kinds()
            for report in row.reports
        ),
    )


def now(row: Kind) -> str:
    """Return the outcome for a row in a few words."""
    if row.write and row.refused is not None:
        return f"works with {arguments(row.write)}, as the error says"
    return happens(row).split(". ")[0]


def _of(group: str) -> list[Kind]:
    found = [row for row in kinds() if row.group == group]
    if not found:
        raise ValueError(f"Expected a group of the table; got {group!r}.")
    return found


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines
    )


class _Inserted(Directive):
    def parsed(self, text: str) -> list[Node]:
        parent = nodes.Element()
        self.state.nested_parse(StringList(text.splitlines()), self.content_offset, parent)
        for table in parent.findall(nodes.table):
            table["classes"].append("supported")
        return list(parent.children)


class Supported(_Inserted):
    """A directive that inserts the rows of one group."""

    required_arguments = 1

    def run(self) -> list[Node]:
        return self.parsed(supported(self.arguments[0]))


class PublicReports(_Inserted):
    """A directive that inserts the public reports that were tried."""

    def run(self) -> list[Node]:
        return self.parsed(public_reports())


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("supported", Supported)
    app.add_directive("public-reports", PublicReports)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
