"""The reproduction of the paper runs, and finds the results that hold at any scale."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from examples.paper import activation_regions, other_curves
from examples.paper.__main__ import main
from examples.paper.curve_search import Walker, gaps_of_loops
from examples.paper.experiment import Claim, Spread, Verdict
from examples.paper.generic import generic, in_double
from examples.paper.images import load_images
from examples.paper.networks import cnn
from examples.paper.published import descend, exact_projection, with_random_direction
from examples.paper.readme import write_readme
from examples.paper.registry import EXPERIMENTS
from examples.paper.scale import QUICK
from examples.paper.study import Study
from examples.paper.training import Training
from examples.paper.walked import norm
from lightning_leaf import LocalDataMatrix

ROOT = Path(__file__).parents[2]
FORWARD_PASSES = 10_000
"""Limit for all experiments in the quick setting. They take about 6400 passes: under a minute of
one core."""


class Passes:
    """Number of forward passes and of inputs in them."""

    def __init__(self) -> None:
        self.forward = 0
        self.inputs = 0
        # Measurements do not restore what threads may share.
        self.lock = threading.Lock()

    def count(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Flatten):  # every network of the experiments has one
            self.forward += 1
            self.inputs += len(arguments[0])


@contextlib.contextmanager
def counted_passes() -> Iterator[Passes]:
    passes = Passes()
    handle = register_module_forward_pre_hook(passes.count)
    try:
        yield passes
    finally:
        handle.remove()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Passes, str]:
    """All experiments in the quick setting: the folder, the work, and the printed text."""
    folder = tmp_path_factory.mktemp("paper")
    printed = io.StringIO()
    with counted_passes() as passes, contextlib.redirect_stdout(printed):
        assert main(["all", "--quick", "--out", str(folder)]) == 0
    return folder, passes, printed.getvalue()


@pytest.fixture(scope="module")
def out(quick: tuple[Path, Passes, str]) -> Path:
    return quick[0]


def results(out: Path, experiment: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results" / f"{experiment}.json").read_text())
    return found


def values(out: Path, experiment: str, claim: int) -> Mapping[str, float]:
    """Return the numbers of a claim, for the only seed."""
    return {name: row[0] for name, row in results(out, experiment)["claims"][claim].items()}


def measured(out: Path, experiment: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(out / "measured" / f"quick-{experiment}-0.pt")
    return found


def test_quick_setting_takes_few_forward_passes(quick: tuple[Path, Passes, str]) -> None:
    _, passes, _ = quick
    assert FORWARD_PASSES / 3 < passes.forward < FORWARD_PASSES


def test_counted_passes_grow_with_the_settings(tmp_path: Path) -> None:
    experiment = EXPERIMENTS["fig3"]
    counts = []
    for steps in (10, 20):
        scale = replace(QUICK, paper_step=0, walk_steps=steps, walks=2)
        study = Study(scale, seeds=1, data_dir=None, out=tmp_path / str(steps))
        with counted_passes() as passes:
            experiment.measure(study, 0)
        counts.append(passes)
    small, large = counts
    assert large.forward >= small.forward + 20  # ten more steps of two projected walks
    assert large.inputs >= small.inputs + 40


def test_quick_setting_uses_one_thread_and_restores_their_number(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    monkeypatch.setattr(
        "examples.paper.__main__.run", lambda *arguments: used.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert main(["fig2", "--quick", "--out", str(out)]) == 0
        assert used == [1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_writes_numbers_and_a_figure_and_prints_its_claims(
    quick: tuple[Path, Passes, str], name: str
) -> None:
    out, _, printed = quick
    found = results(out, name)
    claims = EXPERIMENTS[name].claims(QUICK)
    assert claims
    for claim, numbers in zip(claims, found["claims"], strict=True):
        assert claim.verdict(numbers) in get_args(Verdict)
        assert "{" not in claim.sentence(numbers)
        assert claim.paper in printed
        assert claim.sentence(numbers) in printed
    assert (out / "figures" / f"{name}.png").stat().st_size > 10_000


def test_rank_is_at_most_the_number_of_classes_minus_one(out: Path) -> None:
    found = values(out, "table1", 0)
    assert max(found["g"], found["d"]) <= 9
    # The published least squares problem has one column for each of the ten classes.
    assert found["published"] > 9


def test_divergence_is_the_quadratic_form_for_short_steps_only(out: Path) -> None:
    for space in range(2):
        found = values(out, "kl", space)
        assert max(found["random"], found["tangent"], abs(found["kernel"])) < 0.01
    far = measured(out, "kl")["inputs (eq. 8)"]["tangent (im G)"][:, 0]
    assert (far - 1).abs().median() > 0.1


def test_fields_are_in_involution_for_inputs_of_a_relu_network_only(out: Path) -> None:
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


def test_progress_of_a_step_is_split_into_its_parts(out: Path) -> None:
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


def test_leaves_do_not_continue_across_activation_boundaries(out: Path) -> None:
    boundary, square = values(out, "regions", 0), values(out, "regions", 1)
    assert boundary["turn"] > 1e-4
    assert boundary["rest"] < 1e-9
    assert boundary["second"] < 1e-6
    assert square["small"] < 1e-3
    assert square["step"] > 0.01


def test_squares_close_on_the_leaf_of_a_network_with_one_region(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gap outside D comes from the network, not from the fields or the midpoint rule."""
    study = Study(QUICK, seeds=1, data_dir=None, out=out)
    x = generic(study.test_images(0, 8), seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).double()
    relu = in_double(study.network(0))
    side = 0.05
    assert activation_regions.gap_outside(linear, x, side).max() < 1e-3
    coarse = activation_regions.gap_outside(relu, x, side)
    assert coarse.median() > 0.1
    monkeypatch.setattr(activation_regions, "SUBSTEPS", 4 * activation_regions.SUBSTEPS)
    fine = activation_regions.gap_outside(relu, x, side)
    assert fine.median() == pytest.approx(float(coarse.median()), rel=0.2)


def test_other_curves_lie_in_the_tangent_distribution_and_come_closer(out: Path) -> None:
    found, gaps = values(out, "curves", 0), values(out, "curves", 2)
    assert found["least"] > 0.9999
    assert found["random"] < found["stalled"] - 0.01
    assert found["free"] < 0.01 < found["random"]  # the control is not projected
    assert gaps["directions"] > 9
    points = {row[1] for row in results(out, "curves")["tables"][0]["rows"]}
    assert points == {str(other_curves.evaluations(QUICK))}


def test_lifts_reach_the_prediction_of_the_destination_and_not_its_image(out: Path) -> None:
    prediction, image = values(out, "curves", 4), values(out, "curves", 5)
    assert prediction["reached"] == prediction["label"] == 1
    assert prediction["horizontality"] > 0.9999
    assert image["left"] > 0.2


def test_horizontality_of_a_step_is_its_share_in_the_tangent_distribution(out: Path) -> None:
    study = Study(QUICK, seeds=1, data_dir=None, out=out)
    network, (start, end) = study.network(0), study.pairs(0, 6)
    walker = Walker(network, start, end, seed=0)
    here = walker.at(start.flatten(1).double())
    free = walker.direction()
    walker.step(here, here.space.project(free))
    walker.step(here, free)
    exact = LocalDataMatrix.at(in_double(network), start.double())
    assert torch.allclose(walker.horizontality[0], torch.ones(6).double(), atol=1e-5)
    v = free.reshape(start.shape)
    share = norm(exact.project(v)) / norm(v)
    assert share.max() < 0.9
    assert torch.allclose(walker.horizontality[1], share, atol=1e-4)


def test_other_curves_stay_on_the_leaf_of_a_network_with_one_region(out: Path) -> None:
    """What brings curves closer is that D turns, not the searches themselves."""
    study = Study(QUICK, seeds=1, data_dir=None, out=out)
    start, end = study.pairs(0, 6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    assert gaps_of_loops(linear, start[:1], 1.0, 5, seed=0).abs().max() < 1e-5
    nearest = norm(LocalDataMatrix.at(linear, start).reject(end - start))
    for kind in other_curves.KINDS.values():
        walker = Walker(linear, start, end, seed=0)
        here = walker.at(start.flatten(1).double())
        _, distances = kind(walker, here, norm(end - start) / 16, 41)
        assert (torch.stack(distances) > nearest - 1e-4).all()
        assert walker.evaluations <= 41


def test_measurements_on_disk_are_reused(out: Path) -> None:
    result = out / "results" / "leaf.json"
    before = result.read_text()
    result.unlink()
    kept = out / "measured" / "quick-leaf-0.pt"
    stamp = kept.stat().st_mtime_ns
    assert main(["leaf", "--quick", "--out", str(out)]) == 0
    assert result.read_text() == before
    assert kept.stat().st_mtime_ns == stamp


def test_report_contains_every_claim_and_result(out: Path, tmp_path: Path) -> None:
    assert main(["readme", "--out", str(out), "--to", str(tmp_path)]) == 0
    report = (tmp_path / "README.md").read_text()
    for name, experiment in EXPERIMENTS.items():
        numbers = results(out, name)["claims"]
        for claim, row in zip(experiment.claims(QUICK), numbers, strict=True):
            assert report.count(claim.paper) == 2  # in the table and in the section
            assert claim.sentence(row) in report
        assert f"(figures/{name}.png)" in report
        assert (tmp_path / "figures" / f"{name}.png").exists()
        assert (tmp_path / "results" / f"{name}.json").exists()
    assert "    python -m examples.paper all --quick --seeds 1\n\n" in report


def test_report_lists_the_experiments_with_more_seeds(out: Path, tmp_path: Path) -> None:
    shutil.copytree(out / "results", tmp_path / "results")
    shutil.copytree(out / "figures", tmp_path / "figures")
    file = tmp_path / "results" / "fig2.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"seeds": [0, 1, 2]}))
    report = write_readme(tmp_path, tmp_path).read_text()
    assert (
        "    python -m examples.paper all --quick --seeds 1\n"
        "    python -m examples.paper fig2 --quick --seeds 3\n\n"
    ) in report


def test_committed_report_is_generated_from_the_committed_numbers(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "paper"
    assert {file.stem for file in (folder / "results").glob("*.json")} == set(EXPERIMENTS)
    written = write_readme(folder, tmp_path)
    assert written.read_text() == (folder / "README.md").read_text()
    assert {file.stem for file in (folder / "figures").glob("*.png")} == set(EXPERIMENTS)


def test_report_changes_with_the_numbers(tmp_path: Path) -> None:
    folder = ROOT / "examples" / "paper"
    for part in ("results", "figures"):
        shutil.copytree(folder / part, tmp_path / part)
    file = tmp_path / "results" / "fig5.json"
    changed = json.loads(file.read_text())
    changed["claims"][1]["mirrored"] = [0.5]
    file.write_text(json.dumps(changed))
    report = write_readme(tmp_path, tmp_path).read_text()
    assert "On average 50.0% of the distance to the mirrored digits remains" in report
    assert report != (folder / "README.md").read_text()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_committed_tables_have_the_headings_of_the_code(out: Path, name: str) -> None:
    def headings(folder: Path) -> list[tuple[str, str, int]]:
        tables = results(folder, name)["tables"]
        return [(table["title"], table["columns"][0], len(table["columns"])) for table in tables]

    assert headings(out) == headings(ROOT / "examples" / "paper")


def test_report_on_several_scales_raises_an_error(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").mkdir()
    for name in ("fig2", "fig4"):
        result = results(out, name)
        result["scale"]["name"] = name
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(result))
    assert main(["readme", "--out", str(tmp_path)]) == 2
    assert "found 2 scales" in capsys.readouterr().err


def test_full_scale_without_data_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fig2", "--out", str(tmp_path)]) == 2
    assert "--data" in capsys.readouterr().err


def test_interrupted_training_resumes_bitwise(tmp_path: Path) -> None:
    images = load_images("digits", None)

    def training(folder: str, seed: int = 0) -> Training:
        return Training(lambda: cnn(images.shape), images, seed, 0.2, (), tmp_path / folder)

    training("stopped").at(15)
    stopped, whole = training("stopped").at(30), training("whole").at(30)
    other = training("other", seed=1).at(30)
    for a, b, c in zip(stopped.parameters(), whole.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_claims_must_hold_for_every_seed() -> None:
    claim = Claim("", "{a}", {"a": lambda one: one["a"]}, "", lambda a: a > 1, lambda a: a > 0)

    def verdict(*numbers: float) -> str:
        return claim.verdict(claim.numbers([{"a": number} for number in numbers]))

    assert verdict(2, 3) == "agrees"
    assert verdict(2, 0.5) == "partly"
    assert verdict(2, -1) == "disagrees"
    assert replace(claim, agrees=None).verdict({"a": (2.0,)}) == "not judged"


def test_spread_formats_mean_and_standard_deviation() -> None:
    assert f"{Spread((0.1, 0.3)):.2f}" == "0.20 ± 0.14"
    assert f"{Spread((0.1, 0.3)):.0%}" == "20% ± 14%"
    assert f"{Spread((0.25,)):.1f}" == "0.2"
