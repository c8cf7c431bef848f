"""Imports between rooms follow one direction, and no module imports itself through others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lightning_leaf"


def check_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of pyproject.toml on the package in a folder."""
    program = (
        f"import sys; sys.path.insert(0, {str(folder)!r});"
        "from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    command = [sys.executable, "-c", program, "--no-cache"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of both packages whose modules may be changed."""
    for source in (PACKAGE, ROOT / "tb_plugin" / "tensorboard_plugin_leaf"):
        for module in source.rglob("*.py"):
            target = tmp_path / source.name / module.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(module.read_text())
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    return tmp_path


def test_imports_follow_the_drawing() -> None:
    checked = check_imports(ROOT)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        (
            "lightning_leaf/geometry/fisher_rao.py",
            "from lightning_leaf.display import snapshots",
            "lightning_leaf.geometry is not allowed to import lightning_leaf.display",
        ),
        (
            "lightning_leaf/predict/writer.py",
            "from lightning_leaf.callbacks import monitor",
            "lightning_leaf.predict is not allowed to import lightning_leaf.callbacks",
        ),
        (
            "lightning_leaf/model/memory.py",
            "def late():\n    import lightning",
            "lightning_leaf.model is not allowed to import lightning",
        ),
        (
            "lightning_leaf/model/quiet.py",
            "def late():\n    import lightning_leaf.model.classifier",
            "No cycles are allowed in lightning_leaf.model",
        ),
        (
            "tensorboard_plugin_leaf/schema/errors.py",
            "from tensorboard_plugin_leaf.store import listing",
            "tensorboard_plugin_leaf.schema is not allowed to import tensorboard_plugin_leaf.store",
        ),
        (
            "tensorboard_plugin_leaf/loader.py",
            "import torch",
            "tensorboard_plugin_leaf is not allowed to import torch",
        ),
    ],
)
def test_an_import_in_the_wrong_direction_is_reported(
    copied: Path, module: str, line: str, complaint: str
) -> None:
    changed = copied / module
    changed.write_text(f"{changed.read_text()}\n\n{line}\n")
    checked = check_imports(copied)
    assert checked.returncode == 1
    assert complaint in " ".join(checked.stdout.split())


def test_every_room_has_its_place_in_the_drawing() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(each for each in contracts["contracts"] if each["id"] == "rooms")["layers"]
    drawn = {room.strip() for layer in layers for room in layer.split("|")}
    present = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert present - {"__init__", "__pycache__", "_version"} <= drawn
