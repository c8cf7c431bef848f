"""The command `lightning-leaf demo`: from nothing to logs, a table, and what to do next."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import torch

from lightning_leaf.cli import main
from lightning_leaf.data import image_datasets as demo_data
from lightning_leaf.demo import training
from lightning_leaf.demo.report import history_table, path_line
from tests.support.callbacks.training import ignore_lightning, scalars, snapshots
from tests.support.plugin import synthetic

pytestmark = ignore_lightning


SHORT_PATHS = "from lightning_leaf.demo import training\ntraining.PATH_STEPS = 20\n"


@pytest.fixture
def short_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "PATH_STEPS", 20)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def printed(logdir: Path) -> str:
    """What the command prints in a process of its own."""
    done = subprocess.run(
        ["lightning-leaf", "demo", "--max-epochs=2", f"--logdir={logdir}", "--accelerator=cpu"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def test_demo_prints_trace_and_ranks_over_training(printed: str, logdir: Path) -> None:
    lines = printed.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.strip().startswith("step "))
    assert re.split(r"  +", lines[heading].strip())[1:4] == ["mean trace", "median", "ratio"]
    rows = {int(line.split()[0]): line.split() for line in lines[heading + 1 : heading + 11]}
    logged = scalars(logdir)
    for step, row in rows.items():
        assert float(row[1]) == pytest.approx(logged["leaf/trace_mean"][step], rel=0.01)
        assert float(row[-1]) == pytest.approx(logged["leaf/tangent_dimension"][step], abs=0.01)
    assert {0, 48} <= rows.keys()


def test_demo_prints_what_became_of_every_path(printed: str, logdir: Path) -> None:
    for name in ("horizontal_path", "noisy_start", "orthogonal_walk"):
        last = snapshots(logdir, name)[-1]
        assert f"{name} at step 48 (fit_end):" in printed
        assert all(path_line(path) in printed for path in last.paths)


def test_demo_says_what_to_run_next(printed: str, logdir: Path) -> None:
    assert f"tensorboard --logdir {logdir}   (tab LEAF)" in printed


@pytest.mark.usefixtures("short_paths")
def test_demo_shows_its_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--max-epochs=1", f"--logdir={tmp_path}"]) == 0
    assert "Epoch 0: 100%" in "".join(capfd.readouterr())


@pytest.mark.usefixtures("short_paths")
def test_seed_decides_everything(tmp_path: Path) -> None:
    seeds = {"a": 0, "b": 0, "c": 1}
    for name, seed in seeds.items():
        main(["demo", "--max-epochs=1", f"--seed={seed}", f"--logdir={tmp_path / name}"])
    a, b, c = (scalars(tmp_path / name)["leaf/trace_mean"] for name in seeds)
    assert a == b
    assert a != c


def test_serve_starts_tensorboard_and_prints_its_address(tmp_path: Path) -> None:
    arguments = ["demo", "--max-epochs=1", "--serve", f"--logdir={tmp_path}"]
    program = f"{SHORT_PATHS}from lightning_leaf.cli import main\nmain({arguments})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = next(line for line in process.stdout if "TensorBoard is at" in line)
        url = re.search(r"http://\S+/", line)
        assert url is not None
        with urllib.request.urlopen(f"{url[0]}data/plugins_listing", timeout=60) as answer:
            assert b'"leaf"' in answer.read()
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def test_data_that_cannot_be_had_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # torchvision downloads as always; nobody answers.
    monkeypatch.setattr(demo_data.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    arguments = ["demo", "--data=mnist", f"--data-dir={tmp_path}", f"--logdir={tmp_path}"]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert f"MNIST is not under {tmp_path} and could not be downloaded" in message
    assert f"into {tmp_path}/MNIST/raw" in message
    assert message.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_missing_accelerators_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--accelerator=gpu", f"--logdir={tmp_path}"]) == 1
    assert "--accelerator cpu" in capsys.readouterr().err


def test_unwritable_log_directories_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["demo", f"--logdir={tmp_path / 'file' / 'logs'}"]) == 1
    assert "Give another --logdir" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--max-epochs=0"], ["--data=cifar"], ["--accelerator=x"]])
def test_wrong_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", *arguments])
    assert "error: argument" in capsys.readouterr().err


def test_help_answers_without_torch() -> None:
    program = (
        "import sys\nfrom lightning_leaf.cli import main\n"
        "try: main(['demo', '--help'])\nexcept SystemExit: print('lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "--data-dir" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_long_histories_are_shortened_to_ten_rows_of_eighty_columns() -> None:
    columns = ("trace_mean", "trace_median", "trace_ratio", "effective_rank_entropy")
    history = {"step": [float(50 * i) for i in range(400)]}
    history |= {column: [1234.5] * 400 for column in (*columns, "effective_rank_stable")}
    table = history_table(history | {"tangent_dimension": [9.0] * 400})
    assert len(table) == 11
    assert table[1].split()[0] == "0"
    assert table[-1].split()[0] == "19,950"
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("horizontal", "4 → 9: reached after 480 steps"), ("orthogonal", "4: 480 steps")],
)
def test_paths_are_told_in_words(kind: str, expected: str) -> None:
    line = path_line(synthetic.snapshot(kind=kind).paths[0])
    assert line.startswith(expected)
