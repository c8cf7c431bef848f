"""Two processes write exactly the rows that one process writes."""

from __future__ import annotations

import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lightning_leaf.predict import read_measurements
from tests.support.pair import Pair
from tests.support.predict.measuring import BATCH, INPUTS, predict_with_sharding, write_as

EXAMPLE = Path(__file__).parents[2] / "examples" / "measure.py"


def parts(folder: Path) -> list[int]:
    return sorted(int(part.stem[5:17]) for part in folder.glob("part-*.parquet"))


@pytest.mark.parametrize("task", ["inputs", "horizontal", "orthogonal"])
def test_two_processes_write_bitwise_the_same_table(pair: Pair, tmp_path: Path, task: str) -> None:
    pair.run(write_as, 1, tmp_path / "one", task)
    pair.run(write_as, 2, tmp_path / "two", task)
    one, two = (read_measurements(tmp_path / name) for name in ("one", "two"))
    assert two.equals(one, check_metadata=True)
    assert one["index"].to_pylist() == list(range(one.num_rows))
    # Each process writes a file after three batches. Two processes measure alternate batches.
    assert parts(tmp_path / "one")[:2] == ([0] if task == "horizontal" else [0, 3 * BATCH])
    assert parts(tmp_path / "two")[:2] == [0, BATCH]


def test_run_resumes_with_another_number_of_processes(pair: Pair, tmp_path: Path) -> None:
    pair.run(write_as, 1, tmp_path / "complete", "inputs")
    pair.run(write_as, 2, tmp_path / "part", "inputs", 2)
    before = read_measurements(tmp_path / "part")
    assert before["index"].to_pylist() == list(range(4 * BATCH))
    pair.run(write_as, 1, tmp_path / "part", "inputs", 3)
    assert read_measurements(tmp_path / "part").num_rows == 7 * BATCH < INPUTS
    pair.run(write_as, 2, tmp_path / "part", "inputs")
    complete = read_measurements(tmp_path / "complete")
    assert read_measurements(tmp_path / "part").equals(complete, check_metadata=True)


def test_process_without_inputs_waits_for_the_other(pair: Pair, tmp_path: Path) -> None:
    pair.run(write_as, 2, tmp_path, "one input")
    assert read_measurements(tmp_path).num_rows == 1
    assert parts(tmp_path) == [0]
    # Now neither process has an input to measure.
    pair.run(write_as, 2, tmp_path, "one input")
    assert parts(tmp_path) == [0]


def test_sharded_classifier_raises(pair: Pair) -> None:
    message = "ModelParallelStrategy shards the classifier. Use strategy='ddp'."
    assert pair.run(predict_with_sharding) == [message] * 2


def test_example_runs_and_resumes_with_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_path(str(EXAMPLE), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()[-3:]
    assert printed[0] == "360 inputs measured. Smallest and largest trace:"
    # The second run finds all rows in the folder.
    command = [sys.executable, "-W", "ignore", str(EXAMPLE), "--devices=2"]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[-3:] == printed
