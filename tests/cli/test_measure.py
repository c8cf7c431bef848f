"""The command `lightning-leaf measure` writes rows and prints and plots a summary."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_leaf import LocalDataMatrix, effective_rank
from lightning_leaf.cli import main
from lightning_leaf.cli.checkpoints import read_checkpoint
from lightning_leaf.cli.classifiers import load_classifier
from lightning_leaf.predict import read_measurements
from lightning_leaf.predict.parts import METADATA_KEY
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict import project

pytestmark = ignore_lightning

MODEL, DATA = "tests.support.predict.project.Classifier", "tests.support.predict.project.Digits"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return project.train(tmp_path_factory.mktemp("training"))


def command(checkpoints: list[Path], out: Path, *more: str) -> list[str]:
    files = [f"--checkpoint={checkpoints[0]}"] if len(checkpoints) == 1 else [
        "--checkpoint", *map(str, checkpoints),
    ]  # fmt: skip
    return [
        "measure", *files, f"--model={MODEL}", f"--data={DATA}", f"--out={out}",
        "--accelerator=cpu", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def measured(
    checkpoints: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, str]:
    """Run the command in its own process; return its folder, stdout and stderr."""
    out = tmp_path_factory.mktemp("measured")
    arguments = command(checkpoints, out, "--ranks", "entropy", "stable")
    done = subprocess.run(["lightning-leaf", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, done.stdout, done.stderr


def folder_of(checkpoint: Path, out: Path) -> Path:
    (folder,) = out.glob(f"{checkpoint.stem}-*")
    return folder


def test_rows_belong_to_each_checkpoint(
    checkpoints: list[Path], measured: tuple[Path, str, str]
) -> None:
    images, labels = project.validation_data().tensors
    traces = []
    for checkpoint in checkpoints:
        table = read_measurements(folder_of(checkpoint, measured[0]))
        model = project.Classifier.load_from_checkpoint(checkpoint)
        g = LocalDataMatrix.at(model, images)
        assert table["trace"].to_pylist() == pytest.approx(g.trace().tolist(), rel=1e-4)
        assert table["label"].to_pylist() == labels.tolist()
        traces.append(table["trace"].to_pylist())
    # Negative control: another checkpoint has other traces.
    assert traces[0] != pytest.approx(traces[1], rel=1e-2)


def test_table_summarizes_every_checkpoint(
    checkpoints: list[Path], measured: tuple[Path, str, str]
) -> None:
    lines = measured[1].splitlines()
    heading = next(i for i, line in enumerate(lines) if line.strip().startswith("step "))
    assert re.split(r"  +", lines[heading].strip()) == [
        "step", "inputs", "mean trace", "10 %", "median", "90 %", "entropy rank", "stable rank",
        "dim D", "accuracy", "NaN", "checkpoint",
    ]  # fmt: skip
    images, labels = project.validation_data().tensors
    shares = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    for step, checkpoint, line in zip((8, 16, 24), checkpoints, lines[heading + 1 :], strict=False):
        model = project.Classifier.load_from_checkpoint(checkpoint).eval()
        g = LocalDataMatrix.at(model, images)
        cells = line.replace(" %", "").split()
        trace, rank = g.trace(), effective_rank(g.eigenvalues())
        assert cells[0] == str(step)
        assert cells[1] == f"{len(images)}"
        assert [float(cell) for cell in cells[2:7]] == pytest.approx(
            torch.stack([trace.mean(), *trace.quantile(shares), rank.mean()]).tolist(), rel=0.01
        )
        accuracy = 100 * (model(images).argmax(1) == labels).float().mean()
        assert float(cells[9]) == pytest.approx(float(accuracy), abs=0.11)
        assert cells[10:] == ["0", folder_of(checkpoint, measured[0]).name]


def test_trace_and_rank_are_plotted_over_the_checkpoints(measured: tuple[Path, str, str]) -> None:
    figure = measured[0] / "checkpoints.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert figure.stat().st_size > 10_000
    assert f"Figure: {figure}" in measured[1]


def test_progress_bar_is_shown(measured: tuple[Path, str, str]) -> None:
    # Lightning shows a bar of tqdm, or of rich if that is installed.
    assert len(re.findall(r"Predicting.*(?:100%|13/13)", "".join(measured[1:]))) >= 3
    assert "Traceback" not in measured[2]


def test_second_run_measures_only_missing_inputs(
    checkpoints: list[Path], measured: tuple[Path, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = measured[0]
    folder = folder_of(checkpoints[1], out)
    before = read_measurements(folder)
    part = min(folder.glob("part-*.parquet"))
    others = {file: file.stat().st_mtime_ns for file in out.rglob("part-*.parquet")}
    del others[part]
    part.unlink()
    assert main(command(checkpoints, out, "--ranks", "entropy", "stable")) == 0
    assert read_measurements(folder).equals(before)
    assert {file: file.stat().st_mtime_ns for file in others} == others
    printed = capsys.readouterr()
    again = re.findall(r"^ *\d+ +397.*$", printed.out, re.MULTILINE)
    assert again == re.findall(r"^ *\d+ +397.*$", measured[1], re.MULTILINE)
    assert len(again) == 3
    # Other ranks are another table.
    assert main(command(checkpoints, out)) == 1
    assert "ranks was ['entropy', 'stable'] and is ['entropy']" in capsys.readouterr().err


PLANTED = ("torch", "sklearn", "pyarrow", "matplotlib", "numpy", "lightning", "pickle")
USERS_PROJECT = """
from torch.utils.data import DataLoader
from tests.support.predict.project import Classifier, Digits

class InWorkers(Digits):
    def val_dataloader(self):
        return DataLoader(self.held_out, num_workers=1)
"""


def test_two_devices_write_the_same_rows(
    checkpoints: list[Path], measured: tuple[Path, str, str], tmp_path: Path
) -> None:
    """Also, files in the current folder do not replace installed modules, in no process."""
    folder, out = tmp_path / "current", tmp_path / "out"
    folder.mkdir()
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r})")
    (folder / "users_project.py").write_text(USERS_PROJECT)
    arguments = command(checkpoints[:2], out, "--devices=2", "--ranks", "entropy", "stable")
    names = ["--model=users_project.Classifier", "--data=users_project.InWorkers"]
    done = subprocess.run(
        ["lightning-leaf", *arguments, *names],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not (folder / "ran").exists()
    assert (out / "checkpoints.png").exists()
    for checkpoint in checkpoints[:2]:
        two, one = (folder_of(checkpoint, each) for each in (out, measured[0]))
        parts = {part.stem[:17] for part in two.glob("part-*")}
        assert parts >= {"part-000000000000", "part-000000000032"}  # one from each process
        # Not bitwise the same, because the numbers of threads differ.
        traces = [read_measurements(each)["trace"].to_pylist() for each in (two, one)]
        assert traces[0] == pytest.approx(traces[1], rel=1e-5)
    # Only the first process prints the summary.
    assert done.stdout.count("mean trace") == 1


def test_state_dicts_and_named_data_are_accepted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.pt"
    torch.save(project.plain().state_dict(), file)
    arguments = ["measure", f"--checkpoint={file}", f"--out={tmp_path}", "--accelerator=cpu"]
    model = "--model=tests.support.predict.project.plain"
    assert main([*arguments, model, "--data=digits", "--limit=50"]) == 0
    (folder,) = tmp_path.glob("weights-*/")
    assert read_measurements(folder).num_rows == 50
    assert " –      50 " in capsys.readouterr().out
    assert not (tmp_path / "checkpoints.png").exists()
    # Another limit gives another number of inputs.
    assert main([*arguments, model, "--data=digits", "--limit=40"]) == 1
    assert "inputs was 50 and is 40" in capsys.readouterr().err
    dataset = "--data=tests.support.predict.project.validation"
    assert main([*arguments, model, dataset, f"--out={tmp_path / 'other'}"]) == 0


class Foreign:
    """An object that torch.load(weights_only=True) rejects."""


class Evil:
    """An object that runs code when it is unpickled."""

    def __init__(self, created: Path) -> None:
        self.created = created

    def __reduce__(self) -> Any:
        return Path.touch, (self.created,)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "Classifier"}, "as a dotted path, package.module.Name; got 'Classifier'"),
        ({"model": "nowhere.Classifier"}, "there is no module 'nowhere'"),
        ({"model": "tests.support.predict.project.Clasifier"}, "Did you mean 'Classifier'?"),
        ({"model": "tests.predict.nowhere.Classifier"}, "'tests.predict' has no 'nowhere'"),
        (
            {"model": "tests.support.predict.project.validation"},
            "--model expects a class or function",
        ),
        (
            {"model": "tests.support.predict.project.number"},
            "to return a torch.nn.Module; it returned int",
        ),
        (
            {"model": "tests.support.predict.project.with_argument"},
            "without arguments; it raised TypeError",
        ),
        (
            {"model": "tests.support.predict.project.plain"},
            "missing keys in the checkpoint: 1.bias, 1.weight; unexpected keys in the checkpoint:",
        ),
        ({"data": "tests.support.predict.project.number"}, "number is or returned int"),
        ({"data": "tests.support.predict.project.no_data"}, "project.no_data is empty"),
        ({"data": "tests.support.predict.project.with_argument"}, "raised TypeError"),
        (
            {"data": "tests.support.predict.project.WithTransferHook"},
            "overrides on_after_batch_transfer",
        ),
        (
            {"data": "tests.support.predict.project.WithoutLoader"},
            "a data module with a predict_dataloader, val_dataloader",
        ),
        ({"data": "tests.support.predict.project.Digit"}, "Did you mean 'Digits'?"),
        ({"checkpoint": "nowhere.ckpt"}, "nowhere.ckpt does not exist"),
        ({"checkpoint": "README.md"}, "torch.load(weights_only=True)"),
        ({"out": "README.md/folder"}, "Cannot write"),
    ],
    ids=str,
)
def test_wrong_values_fail_with_instructions(
    checkpoints: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(ROOT)
    options = {"checkpoint": checkpoints[0], "model": MODEL, "data": DATA, "out": tmp_path}
    arguments = [f"--{name}={value}" for name, value in (options | changed).items()]
    assert main(["measure", *arguments, "--accelerator=cpu"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("lightning-leaf measure: ")
    assert message in printed
    assert "Traceback" not in printed
    assert not list(tmp_path.rglob("part-*"))


def test_code_of_a_checkpoint_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, created = tmp_path / "foreign.ckpt", tmp_path / "created by code"
    weights = project.plain().state_dict()
    for foreign in (Foreign(), Evil(created)):
        torch.save({"state_dict": weights, "hyper_parameters": {"what": foreign}}, file)
        assert main(command([file], tmp_path)) == 1
        assert "which runs no code from the file" in capsys.readouterr().err
    assert not created.exists()
    torch.load(file, weights_only=False)
    assert created.exists()


def test_files_without_weights_fail(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.ckpt"
    for content, message in [
        ({"epoch": 3}, "it contains a dict with the keys epoch"),
        ([torch.ones(2)], "it contains an object of type list"),
        ({}, "(none)"),
    ]:
        torch.save(content, file)
        assert main(command([file], tmp_path)) == 1
        assert message in capsys.readouterr().err
    file.write_bytes(checkpoints[0].read_bytes()[:2000])
    assert main(command([file], tmp_path)) == 1
    assert "damaged or not a checkpoint" in capsys.readouterr().err


def test_error_names_weights_of_another_shape(checkpoints: list[Path]) -> None:
    checkpoint = read_checkpoint(checkpoints[0])
    checkpoint.hyper_parameters["width"] = 5
    with pytest.raises(ValueError, match=r"net.1.bias \(expected \(5,\), got \(12,\)\)"):
        load_classifier(checkpoint, project.Classifier, "Classifier")


def test_classifier_with_softmax_fails_with_instructions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.pt"
    torch.save(project.with_softmax().state_dict(), file)
    model = "--model=tests.support.predict.project.with_softmax"
    assert main([*command([file], tmp_path), model]) == 1
    assert "last softmax" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--ranks=entropi", "invalid choice: 'entropi' (choose from"),
        ("--devices=0", "whole number from 1 to 1024; got '0'"),
        ("--limit=0", "whole number from 1 to 2147483647"),
        ("--batch-size=x", "whole number from 1"),
        ("--accelerator=x", "invalid choice"),
    ],
)
def test_wrong_arguments_are_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*command([tmp_path], tmp_path), argument])
    assert message in capsys.readouterr().err


def test_independent_labels_are_measured_by_name(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--forward=tag_scores", "--batch", "picture", "tags", "--class-names", *"abcdefghij"]
    arguments = [
        "measure", f"--checkpoint={checkpoints[-1]}", f"--model={project.__name__}.Tagged",
        f"--data={project.__name__}.tagged_images", f"--out={tmp_path}", "--accelerator=cpu",
        *options,
    ]  # fmt: skip
    assert main(arguments) == 1
    assert "Pass likelihood='bernoulli' for independent labels" in capsys.readouterr().err
    assert main([*arguments, "--likelihood=bernoulli", "--exact"]) == 0
    table = read_measurements(folder_of(checkpoints[-1], tmp_path))
    net = project.Classifier.load_from_checkpoint(checkpoints[-1]).net
    images = project.validation_data().tensors[0][:20]
    expected = LocalDataMatrix.at(net, images, likelihood="bernoulli")
    assert table["trace"].to_pylist() == pytest.approx(expected.trace().tolist(), rel=1e-4)
    likely = net(images).sigmoid() >= 0.5
    assert table["predicted_labels"].to_pylist() == [
        row.nonzero().flatten().tolist() for row in likely
    ]
    settings = json.loads(table.schema.metadata[METADATA_KEY])
    assert settings["class_names"] == list("abcdefghij")
