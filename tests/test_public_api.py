"""The flat public interface: its names, what importing it costs, and its version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tensorboard_plugin_leaf

import lightning_leaf

ROOT = Path(__file__).resolve().parents[1]

PUBLIC_NAMES = {
    "HorizontalPathSnapshot",
    "LeadingSpectrum",
    "LeafError",
    "LeafMap",
    "LeafMonitor",
    "LeafPath",
    "LeafPredictor",
    "LeafTrainerCallback",
    "LeafWriter",
    "LocalDataMatrix",
    "LocalDataMatrixEffectiveRank",
    "LocalDataMatrixMonitor",
    "LocalDataMatrixTrace",
    "LocalGeometry",
    "MatrixFreeDataMatrix",
    "MeasurementWriter",
    "NonFiniteError",
    "Normalization",
    "OrthogonalWalkSnapshot",
    "PairDataset",
    "PathPredictor",
    "PathStatus",
    "PredictionPathSnapshot",
    "SinglePath",
    "TraceEstimate",
    "TraceReturn",
    "Trigger",
    "effective_rank",
    "fisher_rao_distance",
    "fisher_rao_length",
    "horizontal_path",
    "leaf_coordinates",
    "leaf_map",
    "local_geometry",
    "log_probs_at",
    "orthogonal_walk",
    "prediction_path",
    "read_measurements",
}


def test_users_find_every_public_name_where_they_import_it_from() -> None:
    assert set(lightning_leaf.__all__) == PUBLIC_NAMES
    for name in PUBLIC_NAMES:
        assert getattr(lightning_leaf, name).__doc__
        assert name in dir(lightning_leaf)


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'LocalDataMetrix'"):
        lightning_leaf.LocalDataMetrix  # noqa: B018


def imported_modules(statement: str) -> set[str]:
    """Return the modules that a new interpreter has imported after a statement."""
    program = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_functional_core_is_imported_without_lightning() -> None:
    assert not {"lightning", "torchmetrics"} & imported_modules(
        "from lightning_leaf import LocalDataMatrix, horizontal_path"
    )


def test_help_needs_no_pytorch() -> None:
    assert "torch" not in imported_modules("import lightning_leaf.cli, lightning_leaf.cli.measure")
    assert "torch" in imported_modules("from lightning_leaf import LocalDataMatrix")


def test_the_callbacks_are_imported_with_lightning() -> None:
    assert "lightning" in imported_modules("from lightning_leaf import LocalDataMatrixMonitor")


def test_both_distributions_have_the_version_that_stands_in_one_place() -> None:
    file = ROOT / "tb_plugin" / "tensorboard_plugin_leaf" / "_version.py"
    (version,) = re.findall(r'__version__ = "(.+)"', file.read_text())
    assert lightning_leaf.__version__ == version
    assert tensorboard_plugin_leaf.__version__ == version
    for settings in (ROOT / "pyproject.toml", ROOT / "tb_plugin" / "pyproject.toml"):
        assert not re.findall(r"(?m)^version\s*=", settings.read_text())
