"""Code of the user: where it is imported from, and what it may raise."""

from __future__ import annotations

import io
import itertools
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from lightning_leaf.cli import demo, main, measure
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
    "no class": (
        "class Odd(BaseException):\n"
        "    __class__ = property(lambda self: 1 / 0)\n"
        "    def __getattribute__(self, name): raise SystemExit(0)\n"
        "raise Odd"
    ),
    "error of Lightning": (
        "from lightning.fabric.utilities.exceptions import MisconfigurationException\n"
        "class Odd(MisconfigurationException):\n    def __str__(self): return 1 / 0\nraise Odd"
    ),
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


def test_replaced_error_stream_is_not_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def write(self, text: str) -> int:
            raise SystemExit(0)

    printed = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", printed)
    for broken in (Broken(), None):
        monkeypatch.setattr(sys, "stderr", broken)
        assert fail("measure", "an error") == 1
    assert printed.getvalue() == 2 * "lightning-leaf measure: an error\n"
    monkeypatch.setattr(sys, "__stderr__", None)
    assert fail("measure", "an error") == 1
    assert capsys.readouterr().out == ""


def test_advice_is_that_of_the_error(folder: Path, run: Run) -> None:
    """Only errors of Lightning itself are about the accelerator."""
    (folder / "misconfigured.py").write_text(
        "from lightning.fabric.utilities.exceptions import MisconfigurationException\n"
        "from torch import nn\n"
        "class Model(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(64, 10))\n"
        "    def forward(self, x):\n"
        "        raise MisconfigurationException('wrong')\n"
    )
    status, printed = run(model="misconfigured.Model")
    assert status == 1
    assert "measuring raised MisconfigurationException: wrong" in printed
    assert "--accelerator" not in printed
    status, printed = run(accelerator="gpu")
    assert status == 1
    assert "Give another --accelerator" in printed


def test_module_of_the_current_folder_that_is_not_used_is_named(folder: Path, run: Run) -> None:
    """An installed copy may be an earlier version of the user's module."""
    (folder / "numbers.py").write_text("")
    (folder / "fractions").mkdir()
    (folder / "fractions" / "__init__.py").write_text("")
    (folder / "torchvision").mkdir()  # for example data, without a module
    _, printed = run(model="numbers.Number", forward="fractions.gcd", batch="torchvision.x")
    lines = [line for line in printed.splitlines() if "installed modules come first" in line]
    assert [line.split("'")[1] for line in lines] == ["numbers", "fractions"]
    for line, hidden in zip(lines, ["numbers.py", "fractions"], strict=True):
        assert f".py, not from {folder / hidden}, because" in line
        assert line.endswith("run: PYTHONPATH=. lightning-leaf measure …")


def test_paths_are_those_of_the_folder_at_the_start(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code of the user may change the current folder, as Hydra does."""
    (folder / "elsewhere").mkdir()
    (folder / "moving.py").write_text(
        f"import os\nfrom {project.__name__} import few, plain\nos.chdir('elsewhere')\n"
    )
    folders = []
    predict, setup = L.Trainer.predict, MeasurementWriter.setup

    def noting(function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any, **options: Any) -> Any:
            folders.append(Path.cwd())
            return function(*arguments, **options)

        return noted

    # The other processes are started between these two.
    monkeypatch.setattr(L.Trainer, "predict", noting(predict))
    monkeypatch.setattr(MeasurementWriter, "setup", noting(setup))
    assert run(model="moving.plain")[0] == 0
    assert folders == [folder, folder / "elsewhere"]
    assert list((folder / "out").glob("one-*/part-*"))
    assert not list((folder / "elsewhere").iterdir())


def test_text_that_the_terminal_cannot_show_is_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "ascii", write_through=True))
    command = ["measure", "--checkpoint=one.pt", f"--model={project.__name__}.plain"]
    assert main([*command, f"--data={project.__name__}.few", "--out=ä█", "--accelerator=cpu"]) == 0
    assert b"/??/*/*.parquet" in shown.getvalue()


def test_error_is_one_printable_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert fail("measure", "names of\nfiles: \x1b[2J\u202e\udcff") == 1
    assert capsys.readouterr().err == "lightning-leaf measure: names of files:  [2J  \n"


def test_interrupt_has_the_usual_status(folder: Path, run: Run) -> None:
    (folder / "interrupted.py").write_text("raise KeyboardInterrupt")
    status, printed = run(model="interrupted.Model")
    assert status == 130
    assert printed.splitlines()[-1].startswith("lightning-leaf measure: interrupted. All rows")


def interrupt(*arguments: object) -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "command",
    [["measure", "--checkpoint=a", "--model=b.c", "--data=d.e", "--out=f"], ["demo"]],
    ids=["measure", "demo"],
)
def test_interrupt_at_any_time_has_the_usual_status(
    folder: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
) -> None:
    """During the imports of a command, and again while the first Ctrl-C is reported."""
    (folder / "interrupted.py").write_text("raise KeyboardInterrupt")
    with monkeypatch.context() as patch:
        patch.setattr(measure, "fail", interrupt)
        assert run(model="interrupted.Model") == (130, "lightning-leaf: interrupted.\n")
    monkeypatch.setattr(measure, "run", interrupt)
    monkeypatch.setattr(demo, "run", interrupt)
    more = (
        ["--checkpoint=a", "--model=b.c", "--data=d.e", "--out=f"] if "demo" not in command else []
    )
    assert main([*command, *more]) == 130
    assert capsys.readouterr().err == "lightning-leaf: interrupted.\n"


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
