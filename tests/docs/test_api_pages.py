"""The API pages document every public name exactly once, and no other name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
MODULES = (
    "lightning_leaf",
    "lightning_leaf.callbacks",
    "lightning_leaf.predict",
    "tensorboard_plugin_leaf",
)
DIRECTIVE = re.compile(r"^\.\. auto(?:class|function|exception|data):: +([\w.]+)$", re.MULTILINE)


def api_pages() -> str:
    return "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.md")))


def documented(pages: str) -> list[Any]:
    """Return the objects that the directives of the pages name."""
    objects = []
    for path in DIRECTIVE.findall(pages):
        module, _, name = path.rpartition(".")
        objects.append(getattr(importlib.import_module(module), name))
    return objects


def undocumented(module: str, pages: str) -> list[str]:
    """Return the public names of a module that no directive documents."""
    objects = documented(pages)
    imported = importlib.import_module(module)
    return [
        name
        for name in imported.__all__
        if not any(getattr(imported, name) is each for each in objects)
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module: str) -> None:
    assert undocumented(module, api_pages()) == []


@pytest.mark.parametrize("module", MODULES)
def test_a_missing_name_is_found(module: str) -> None:
    name = importlib.import_module(module).__all__[0]
    pages = re.sub(rf"^\.\. auto\w+:: +[\w.]+\.{name}$", "", api_pages(), flags=re.MULTILINE)
    assert undocumented(module, pages) == [name]


def test_nothing_is_documented_twice() -> None:
    paths = DIRECTIVE.findall(api_pages())
    assert len(paths) == len(set(paths))


def test_only_public_names_are_documented() -> None:
    for path in DIRECTIVE.findall(api_pages()):
        if path == "lightning_leaf.geometry.protocol.DataMatrix":
            continue  # what the two public matrices share; there is nothing to import
        module, _, name = path.rpartition(".")
        assert module in MODULES
        assert name in importlib.import_module(module).__all__
