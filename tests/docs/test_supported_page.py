"""The page about supported models, data and loops lists every row that the tests run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.support.trainers.kinds import Group
from tests.support.trainers.table import KINDS

pytest.importorskip("docutils")

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "supported.md").read_text()
REPORT = re.compile(r"[\w.-]+/[\w.-]+ (PR )?#\d+")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The extension of Sphinx that inserts the tables."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import supported

    yield supported
    sys.modules.pop("supported", None)


def test_every_group_is_on_the_page(page: Any) -> None:
    assert re.findall(r"^```{supported} (\w+)$", PAGE, re.MULTILINE) == list(get_args(Group))
    tables = "\n".join(page.supported(group) for group in get_args(Group))
    lines = tables.splitlines()
    assert len(lines) == len(KINDS) + 2 * len(get_args(Group))
    for row in KINDS:
        (line,) = (line for line in lines if line.startswith(f"| {row.what} |"))
        assert f"| {page.arguments(row.write)} |" in line
        assert page.arguments(row.write).replace("`", "") == row.write.replace("; ", ", ")
        assert all(report.source.partition("/")[2] in line for report in row.reports)
        assert page.happens(row) in line


def test_unknown_groups_end_the_build(page: Any) -> None:
    with pytest.raises(ValueError, match="Unknown"):
        page.supported("Unknown")


def test_more_than_twenty_public_reports_are_listed(page: Any) -> None:
    reports = [report for row in KINDS for report in row.reports]
    sources = [report.source for report in reports]
    assert len(set(sources)) == len(sources) > 20
    assert all(REPORT.fullmatch(source) for source in sources)
    assert not REPORT.fullmatch("captum, somewhere")
    assert "{public-reports}" in PAGE
    table = page.public_reports()
    assert all(f"| {source} |" in table for source in sources)
