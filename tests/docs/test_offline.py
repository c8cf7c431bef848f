"""The documentation needs no network: formulas are MathML, and sources load nothing by address."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
pytest.importorskip("latex2mathml")
pytest.importorskip("sphinx")


@pytest.fixture(autouse=True)
def extensions_are_importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    yield
    sys.modules.pop("mathml", None)


def test_formulas_become_mathml() -> None:
    from mathml import mathml

    formula = mathml(r"G = \mathbb{E}\left[\tfrac{1}{2} \|\nabla_x \log\,p_i\|^2\right]", "block")
    assert formula.startswith("<math")
    assert "<mfrac>" in formula


def test_unknown_commands_end_the_build() -> None:
    from mathml import mathml

    with pytest.raises(ValueError, match="unknowncommand"):
        mathml(r"\unknowncommand x", "inline")


def addresses(text: str) -> bool:
    return "http://" in text or "https://" in text


def test_sources_of_the_documentation_contain_no_addresses_of_scripts_or_fonts() -> None:
    for source in [*DOCS.glob("_ext/**/*.py"), DOCS / "conf.py", *DOCS.glob("_static/*.css")]:
        assert not addresses(source.read_text()), source


def test_an_address_would_be_found() -> None:
    assert addresses('@import "https://fonts.example/font.css";')
