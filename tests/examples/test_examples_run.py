"""Every example runs with the command in its docstring."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.callbacks.training import scalars, snapshots

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: str, cwd: Path) -> str:
    """Run an example in a new process and return its output."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_here(name: str, *arguments: str) -> str:
    """Run an example in this process, which saves its imports, and return its output."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", [name, *arguments])
        with contextlib.suppress(SystemExit):  # the parser exits after --print_config
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return printed.getvalue()


def test_digits_prints_measurements_and_draws_paths(tmp_path: Path) -> None:
    printed = run("digits.py", cwd=tmp_path)
    assert "before training: median trace" in printed
    assert "LeafPath of 4 horizontal paths" in printed
    for name in ("horizontal_paths.png", "orthogonal_walks.png"):
        assert (tmp_path / "leaf_logs" / name).stat().st_size > 10_000


def test_existing_trainer_logs_measurements_and_paths(tmp_path: Path) -> None:
    run("existing_trainer.py", cwd=tmp_path)
    assert (tmp_path / "lightning_logs").is_dir()
    assert scalars(tmp_path)["leaf/trace_mean"].keys() >= {0, 50}
    (snapshot,) = snapshots(tmp_path, "horizontal_path")
    assert len(snapshot.paths) == 8


def test_existing_trainer_needs_two_more_lines() -> None:
    source = (EXAMPLES / "existing_trainer.py").read_text().splitlines()
    assert sum(line.endswith("# added") for line in source) == 2


def test_plain_loop_logs_measurements_and_paths(tmp_path: Path) -> None:
    printed = run_here("plain_loop.py", "--steps=60", f"--logdir={tmp_path}")
    assert re.findall(r"step (\d+): mean trace", printed) == ["0", "50", "60"]
    logged = scalars(tmp_path)
    assert logged["leaf/trace_mean"].keys() == {0, 50, 60}
    assert logged["leaf/trace_mean"][60] > 10 * logged["leaf/trace_mean"][0]
    assert len(logged["train_loss"]) == 60
    (snapshot,) = snapshots(tmp_path, "horizontal_path")
    assert (snapshot.step, len(snapshot.paths)) == (60, 4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_fabric_loop_logs_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run_here("fabric_loop.py", "--steps=60", f"--precision={precision}")
    assert "at step 60" in printed
    assert scalars(tmp_path)["leaf/trace_mean"].keys() == {0, 50, 60}


@pytest.mark.skipif(not find_spec("transformers"), reason="transformers is not installed")
def test_hugging_face_logs_measurements_into_its_run(tmp_path: Path) -> None:
    run("hugging_face.py", "--steps=12", cwd=tmp_path)
    (folder,) = (tmp_path / "leaf_logs" / "hugging_face" / "runs").iterdir()
    logged = scalars(folder)
    assert logged["leaf/trace_mean"].keys() == {0, 12}
    assert "train/loss" in logged


def test_lightning_cli_takes_the_configured_snapshots(tmp_path: Path) -> None:
    config = f"--config={EXAMPLES / 'lightning_cli.yaml'}"
    run("lightning_cli.py", "fit", config, "--trainer.max_epochs=1", cwd=tmp_path)
    reasons = [(snapshot.name, snapshot.reason) for snapshot in snapshots(tmp_path)]
    assert ("horizontal_path", "checkpoint") in reasons
    assert ("orthogonal_walk", "fit_end") in reasons
    assert set(scalars(tmp_path)) >= {"leaf/effective_rank_entropy", "leaf/effective_rank_stable"}


def test_lightning_cli_reads_the_configuration_that_it_prints(tmp_path: Path) -> None:
    config = f"--config={EXAMPLES / 'lightning_cli.yaml'}"
    printed = run_here("lightning_cli.py", "fit", config, "--print_config")
    assert "class_path: lightning_leaf." in printed
    file = tmp_path / "again.yaml"
    file.write_text(printed)
    assert run_here("lightning_cli.py", "fit", f"--config={file}", "--print_config") == printed


@pytest.mark.mnist
@pytest.mark.skipif("LEAF_DATA" not in os.environ, reason="LEAF_DATA is not set")
def test_mnist_shows_the_trace_rise_and_the_effective_rank_fall(tmp_path: Path) -> None:
    """The tangent distribution keeps its dimension."""
    data = os.environ["LEAF_DATA"]
    printed = run("mnist.py", "--data", data, "--max-steps=100", "--path-steps=8", cwd=tmp_path)
    logged = scalars(tmp_path)
    trace, rank = logged["leaf/trace_mean"], logged["leaf/effective_rank_entropy"]
    assert trace[0] == pytest.approx(0.0016, rel=0.25)
    assert trace[100] > 10 * trace[0]
    assert rank[0] > 7
    assert rank[100] < 4
    assert set(logged["leaf/tangent_dimension"].values()) == {9.0}
    (walks,) = snapshots(tmp_path, "orthogonal_walk")
    kept = [len(set(path.frame_labels)) == 1 for path in walks.paths]
    assert sum(kept) >= len(kept) - 1
    assert "horizontal_path at step 100 (fit_end)" in printed
