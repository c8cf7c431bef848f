"""The reproduction of the paper runs, and finds what has to be found at any scale."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from examples.paper import activation_regions
from examples.paper.__main__ import main
from examples.paper.experiment import Spread, Verdict, claim
from examples.paper.generic import generic, in_double
from examples.paper.images import load_images
from examples.paper.networks import cnn
from examples.paper.published import descend, exact_projection, with_random_direction
from examples.paper.readme import write_readme
from examples.paper.registry import EXPERIMENTS
from examples.paper.scale import QUICK
from examples.paper.study import Study
from examples.paper.training import Training

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything at the small scale, once."""
    folder = tmp_path_factory.mktemp("paper")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-m", "examples.paper", "all", "--quick", "--out", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert seconds < 150, f"about a minute is promised; it took {seconds:.0f} s of one core"
    return folder


def values(out: Path, experiment: str, claim: int) -> Mapping[str, float]:
    """The numbers of a claim, of the only seed."""
    result = json.loads((out / "results" / f"{experiment}.json").read_text())
    return {name: seeds[0] for name, seeds in result["claims"][claim]["values"].items()}


def measured(out: Path, experiment: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(out / "measured" / f"quick-{experiment}-0.pt")
    return found


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_leaves_claims_and_a_figure(out: Path, name: str) -> None:
    result = json.loads((out / "results" / f"{name}.json").read_text())
    assert result["claims"]
    assert all(one["verdict"] in get_args(Verdict) for one in result["claims"])
    assert "{" not in "".join(one["measured"] for one in result["claims"])
    assert (out / result["figure"]).stat().st_size > 10_000


def test_rank_is_at_most_the_number_of_classes_less_one(out: Path) -> None:
    found = values(out, "table1", 0)
    assert max(found["g"], found["d"]) <= 9
    # The published columns are as many as there are classes, and none is dropped.
    assert found["published"] > 9


def test_divergence_is_the_quadratic_form_for_short_steps_only(out: Path) -> None:
    for space in range(2):
        found = values(out, "kl", space)
        assert max(found["random"], found["tangent"], abs(found["kernel"])) < 0.01
    far = measured(out, "kl")["inputs (eq. 8)"]["tangent (im G)"][:, 0]
    assert (far - 1).abs().median() > 0.1


def test_inputs_of_a_relu_network_are_foliated_and_weights_are_not(out: Path) -> None:
    inputs, weights = values(out, "theorem", 0), values(out, "theorem", 1)
    assert inputs["relu"] < 1e-6
    assert inputs["gelu"] > 1e-3
    assert weights["weights"] > 0.1


def test_published_arithmetic_leaves_the_tangent_distribution(out: Path) -> None:
    steps, distance = values(out, "published", 0), values(out, "published", 1)
    assert steps["exact"] > 0.999
    assert steps["published"] < 0.9
    assert distance["published"] < distance["exact"]
    assert steps["outside"] > 0.3


def test_what_a_step_gains_is_told_apart_by_its_parts(out: Path) -> None:
    study = Study(QUICK, seeds=1, data_dir=None, out=out)
    network, (start, end) = study.network(0), study.pairs(0, 6)
    options: Any = {"step_size": 0.01, "threshold": 0.1, "steps": 20, "every": 1, "title": ""}
    for project, outside in ((exact_projection, False), (with_random_direction(0), True)):
        path = descend(network, start, end, project, **options)
        nearer = path.distance[:, :-1] - path.distance[:, 1:]
        assert torch.allclose(path.gain.sum(1), nearer, atol=2e-5)
        share = path.gain[:, 1].sum() / nearer.sum()
        assert (share > 0.003) if outside else (share.abs() < 1e-3)


def test_gradients_lie_in_the_tangent_distribution_and_their_signs_do_not(out: Path) -> None:
    found = values(out, "attacks", 0)
    assert found["gradient"] > 0.999
    assert max(found["fgsm"], found["pgd"]) < 0.9


def test_orthogonal_walks_keep_the_label_that_random_walks_lose(out: Path) -> None:
    found = values(out, "fig3", 0)
    assert found["kept"] > 0.9
    assert found["kept"] > found["control"]


def test_leaves_do_not_go_on_where_activations_switch(out: Path) -> None:
    boundary, square = values(out, "regions", 0), values(out, "regions", 1)
    assert boundary["turn"] > 1e-4
    assert boundary["rest"] < 1e-9
    assert boundary["second"] < 1e-6
    assert square["small"] < 1e-3
    assert square["step"] > 0.01


def test_squares_close_on_the_leaf_of_a_network_with_one_region(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves D is the network's doing: not that of the fields, nor of the midpoint rule."""
    study = Study(QUICK, seeds=1, data_dir=None, out=out)
    x = generic(study.test_images(0, 8), seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).double()
    relu = in_double(study.network(0))
    side = QUICK.step_size
    assert activation_regions.gap_outside(linear, x, side).max() < 1e-3
    coarse = activation_regions.gap_outside(relu, x, side)
    assert coarse.median() > 0.1
    monkeypatch.setattr(activation_regions, "SUBSTEPS", 4 * activation_regions.SUBSTEPS)
    fine = activation_regions.gap_outside(relu, x, side)
    assert fine.median() == pytest.approx(float(coarse.median()), rel=0.2)


def test_what_was_measured_is_taken_from_the_folder(out: Path) -> None:
    result = out / "results" / "leaf.json"
    before = result.read_text()
    result.unlink()
    kept = out / "measured" / "quick-leaf-0.pt"
    stamp = kept.stat().st_mtime_ns
    assert main(["leaf", "--quick", "--out", str(out)]) == 0
    assert result.read_text() == before
    assert kept.stat().st_mtime_ns == stamp


def test_report_holds_every_claim(out: Path, tmp_path: Path) -> None:
    assert main(["readme", "--out", str(out), "--to", str(tmp_path)]) == 0
    report = (tmp_path / "README.md").read_text()
    for name in EXPERIMENTS:
        for one in json.loads((out / "results" / f"{name}.json").read_text())["claims"]:
            assert one["measured"] in report
        assert f"(figures/{name}.png)" in report
        assert (tmp_path / "figures" / f"{name}.png").exists()
        assert (tmp_path / "results" / f"{name}.json").exists()
    assert "    python -m examples.paper all --quick --seeds 1\n\n" in report


def test_report_tells_what_was_run_with_more_seeds(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "results", tmp_path / "results")
    shutil.copytree(out / "figures", tmp_path / "figures")
    file = tmp_path / "results" / "fig2.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seeds": [0, 1, 2]}))
    report = write_readme(tmp_path, tmp_path).read_text()
    assert (
        "    python -m examples.paper all --quick --seeds 1\n"
        "    python -m examples.paper fig2 --quick --seeds 3\n\n"
    ) in report


def test_the_report_in_the_repository_is_that_of_its_numbers(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "paper"
    assert {file.stem for file in (folder / "results").glob("*.json")} == set(EXPERIMENTS)
    written = write_readme(folder, tmp_path)
    assert written.read_text() == (folder / "README.md").read_text()
    assert {file.stem for file in (folder / "figures").glob("*.png")} == set(EXPERIMENTS)


def test_report_of_several_scales_is_refused(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    for name in ("fig2", "fig4"):
        result = json.loads((out / "results" / f"{name}.json").read_text())
        result["scale"]["name"] = name
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(result))
    assert main(["readme", "--out", str(tmp_path)]) == 2
    assert "found 2 scales" in capsys.readouterr().err


def test_full_scale_without_data_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fig2", "--out", str(tmp_path)]) == 2
    assert "--data" in capsys.readouterr().err


def test_training_goes_on_bitwise_where_it_was_stopped(tmp_path: Path) -> None:
    images = load_images("digits", None)

    def training(folder: str, seed: int = 0) -> Training:
        return Training(lambda: cnn(images.shape), images, seed, 0.2, (), tmp_path / folder)

    training("stopped").at(15)
    stopped, whole = training("stopped").at(30), training("whole").at(30)
    other = training("other", seed=1).at(30)
    for a, b, c in zip(stopped.parameters(), whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_claims_hold_for_all_seeds_or_not_at_all() -> None:
    def verdict(*numbers: float) -> str:
        return claim("", "{a}", "", lambda a: a > 1, lambda a: a > 0, a=numbers).verdict

    assert verdict(2, 3) == "agrees"
    assert verdict(2, 0.5) == "partly"
    assert verdict(2, -1) == "disagrees"


def test_spread_tells_mean_and_standard_deviation() -> None:
    assert f"{Spread((0.1, 0.3)):.2f}" == "0.20 ± 0.14"
    assert f"{Spread((0.1, 0.3)):.0%}" == "20% ± 14%"
    assert f"{Spread((0.25,)):.1f}" == "0.2"
