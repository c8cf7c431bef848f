"""The command `lightning-leaf demo` trains, logs, prints a report and serves TensorBoard."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from lightning_leaf.cli import main
from lightning_leaf.data import image_datasets
from lightning_leaf.demo import training
from lightning_leaf.demo.report import path_line
from tests.support.callbacks.training import ignore_lightning, scalars, snapshots

pytestmark = ignore_lightning

SHORT_PATHS = 40
# The tests of `lightning-leaf measure` run the installed command.
PROGRAM = f"""
import sys
from lightning_leaf.cli import main
from lightning_leaf.demo import training

training.PATH_STEPS = {SHORT_PATHS}
sys.exit(main(sys.argv[1:]))
"""


class Demo(NamedTuple):
    """A demo that serves TensorBoard."""

    logdir: Path
    printed: str
    errors: str
    url: str


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Run the command in its own process until it serves TensorBoard."""
    logdir, errors = tmp_path_factory.mktemp("demo"), tmp_path_factory.mktemp("errors") / "stderr"
    arguments = ["--max-epochs=2", f"--logdir={logdir}", "--accelerator=cpu", "--serve"]
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    try:
        printed, address = "", None
        for line in process.stdout:
            printed += line
            if address := re.search(r"TensorBoard: (http://\S+/)#leaf", line):
                break
        assert address is not None, errors.read_text()[-3000:]
        yield Demo(logdir, printed, errors.read_text(), address[1])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_demo_prints_trace_and_ranks_over_training(demo: Demo) -> None:
    lines = demo.printed.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.strip().startswith("step "))
    assert re.split(r"  +", lines[heading].strip())[1:4] == ["mean trace", "median", "ratio"]
    rows = {int(line.split()[0]): line.split() for line in lines[heading + 1 : heading + 11]}
    logged = scalars(demo.logdir)
    for step, row in rows.items():
        assert float(row[1]) == pytest.approx(logged["leaf/trace_mean"][step], rel=0.01)
        assert float(row[-1]) == pytest.approx(logged["leaf/tangent_dimension"][step], abs=0.01)
    assert {0, 48} <= rows.keys()


def test_demo_prints_a_line_for_every_path(demo: Demo) -> None:
    names = ("prediction_path", "each_class", "horizontal_path", "noisy_start", "orthogonal_walk")
    for name in names:
        last = snapshots(demo.logdir, name)[-1]
        assert f"{name} at step 48 (fit_end):" in demo.printed
        assert all(path_line(path, last.kind) in demo.printed for path in last.paths)
    first = [demo.printed.index(f"{name} at step") for name in names]
    assert first == sorted(first)  # prediction paths come first


def test_demo_shows_its_progress(demo: Demo) -> None:
    # Lightning shows a bar of tqdm, or of rich if that is installed.
    assert re.search(r"Epoch (0: +100%|1/1 )", demo.printed + demo.errors)
    assert "Traceback" not in demo.errors


def test_demo_serves_tensorboard_at_the_printed_address(demo: Demo) -> None:
    with urllib.request.urlopen(f"{demo.url}data/plugins_listing") as answer:
        assert b'"leaf"' in answer.read()


def test_seed_determines_the_run(
    demo: Demo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(training, "PATH_STEPS", SHORT_PATHS)
    traces = []
    for seed in (0, 1):
        logdir = tmp_path / str(seed)
        arguments = ["--max-epochs=1", f"--seed={seed}", f"--logdir={logdir}", "--accelerator=cpu"]
        assert main(["demo", *arguments]) == 0
        assert f"tensorboard --logdir {logdir}   (LEAF tab)" in capsys.readouterr().out
        traces.append(scalars(logdir)["leaf/trace_mean"])
    logged = scalars(demo.logdir)["leaf/trace_mean"]  # seed 0, in another process
    same, other = ([trace[step] for step in range(20)] for trace in traces)
    assert same == pytest.approx([logged[step] for step in range(20)], rel=1e-4)
    assert other != pytest.approx(same, rel=1e-2)


def test_missing_data_fails_with_instructions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The address of the download has no server.
    monkeypatch.setattr(image_datasets.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    arguments = ["demo", "--data=mnist", f"--data-dir={tmp_path}", f"--logdir={tmp_path}"]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert f"MNIST is not under {tmp_path} and could not be downloaded" in message
    assert f"into {tmp_path}/MNIST/raw" in message
    assert message.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_accelerator_fails_with_instructions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--accelerator=gpu", f"--logdir={tmp_path}"]) == 1
    assert "--accelerator cpu" in capsys.readouterr().err


def test_unwritable_log_folder_fails_with_instructions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", f"--logdir={tmp_path / 'file' / 'logs'}"]) == 1
    assert "Give another --logdir" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--max-epochs=0"], ["--data=cifar"], ["--accelerator=x"]])
def test_wrong_arguments_are_rejected(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", *arguments])
    assert "error: argument" in capsys.readouterr().err
