"""Code of the user: where it is imported from, and what it may raise."""

from __future__ import annotations

import itertools
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lightning_leaf.cli import main
from lightning_leaf.cli.failures import fail
from lightning_leaf.predict import MeasurementWriter
from tests.support.callbacks.training import ignore_lightning
from tests.support.predict import project

pytestmark = ignore_lightning

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two checkpoints of `project.plain`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("one.pt", "two.pt"):
        torch.save(project.plain().state_dict(), tmp_path / name)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def measure(**options: str) -> tuple[int, str]:
        given = {
            "checkpoint": "one.pt",
            "model": f"{project.__name__}.plain",
            "data": f"{project.__name__}.few",
            "out": "out",
            "accelerator": "cpu",
        } | options
        status = main(["measure", *(f"--{name}={value}" for name, value in given.items())])
        return status, capsys.readouterr().err

    return measure


def test_error_names_the_module_that_was_imported_instead(folder: Path, run: Run) -> None:
    (folder / "fractions.py").write_text("class Model: pass")
    status, printed = run(model="fractions.Model")
    assert status == 1
    assert "'fractions' has no 'Model'. It was imported from /" in printed
    assert "This hides 'fractions' in the current folder" in printed


EXITS = {
    "exit": "import sys; sys.exit(0)",
    "exit of a thread": "raise GeneratorExit",
    "another exception": "class Odd(BaseException): pass\nraise Odd('x' * 10**6)",
    "no message": "class Odd(Exception):\n    def __str__(self): raise SystemExit(0)\nraise Odd",
    "recursion": "def f(): f()\nf()",
}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        *itertools.product(["module", "model", "forward", "data", "item"], EXITS),
        ("workers", "exit"),
    ],
)
def test_whatever_user_code_raises_is_one_error(
    folder: Path, run: Run, place: str, kind: str
) -> None:
    name, raised = f"users_{place}_{kind.replace(' ', '_')}", EXITS[kind]
    body = "\n".join(f"    {line}" for line in raised.split("\n"))
    (folder / f"{name}.py").write_text(f"""
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

place = {place!r}

def stop():
{body}

if place == "module":
    stop()

class Model(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 10))
        if place == "model":
            stop()

    def forward(self, x):
        if place == "forward":
            stop()
        return super().forward(x)

class Data(Dataset):
    def __init__(self):
        if place == "data":
            stop()

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if place in ("item", "workers"):
            stop()
        return torch.rand(1, 8, 8)

def workers():
    return DataLoader(Data(), num_workers=1)
""")
    data = "workers" if place == "workers" else "Data"
    status, printed = run(model=f"{name}.Model", data=f"{name}.{data}")
    assert status == 1
    assert "Traceback" not in printed
    errors = [line for line in printed.splitlines() if line.startswith("lightning-leaf measure: ")]
    assert len(errors) == 1
    assert len(errors[0]) < 2000
    if place != "workers":
        assert f"{name}.py:" in errors[0]
        # Code that the command itself calls is named by its argument.
        assert place in ("forward", "item") or "measuring raised" not in errors[0]
    assert not list(folder.rglob("part-*"))


def test_error_is_one_printable_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("measure", "names of\nfiles: \x1b[2J\u202e\udcff") == 1
    assert capsys.readouterr().err == "lightning-leaf measure: names of files:  [2J  \n"


def test_interrupt_has_the_usual_status(folder: Path, run: Run) -> None:
    (folder / "interrupted.py").write_text("raise KeyboardInterrupt")
    status, printed = run(model="interrupted.Model")
    assert status == 130
    assert printed.splitlines()[-1].startswith("lightning-leaf measure: interrupted. All rows")


def test_interrupt_while_measuring_has_the_usual_status(folder: Path, run: Run) -> None:
    before = signal.getsignal(signal.SIGINT)
    (folder / "interrupted_later.py").write_text(
        "from torch import nn\n"
        "class Model(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 10))\n"
        "    def forward(self, x):\n"
        "        raise KeyboardInterrupt\n"
    )
    try:
        assert run(model="interrupted_later.Model")[0] == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_warnings_as_errors_are_one_error(folder: Path, run: Run) -> None:
    (folder / "strict.py").write_text(
        "import warnings\n"
        "def plain():\n"
        "    warnings.filterwarnings('error')\n"
        "    warnings.warn('old', DeprecationWarning)\n"
    )
    with warnings.catch_warnings():
        status, printed = run(model="strict.plain")
    assert status == 1
    assert "it raised DeprecationWarning: old" in printed


def test_missing_rows_are_an_error(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a writer loses rows; the command does not report success."""
    monkeypatch.setattr(MeasurementWriter, "_write", lambda writer: writer._unwritten.clear())
    status, printed = run()
    assert status == 1
    assert "3 are missing: 0–2. Run again" in printed


def test_figure_does_not_follow_a_link(folder: Path) -> None:
    target, out = folder / "precious", folder / "out"
    target.write_text("content")
    out.mkdir()
    (out / "checkpoints.png").symlink_to(target)
    command = ["measure", "--checkpoint", "one.pt", "two.pt", f"--model={project.__name__}.plain"]
    assert main([*command, f"--data={project.__name__}.few", "--out=out", "--accelerator=cpu"]) == 0
    assert target.read_text() == "content"
    assert not (out / "checkpoints.png").is_symlink()
    assert (out / "checkpoints.png").read_bytes().startswith(b"\x89PNG")
