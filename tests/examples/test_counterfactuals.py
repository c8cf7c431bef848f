"""The comparison of counterfactuals runs, and its ways do what the report says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from examples.counterfactuals.__main__ import main
from examples.counterfactuals.comparison import Comparison, asked_of
from examples.counterfactuals.findings import COLUMNS
from examples.counterfactuals.question import TARGETS, Question, swapped
from examples.counterfactuals.readme import write_readme
from examples.counterfactuals.scale import QUICK
from examples.counterfactuals.training import KINDS, attacked
from examples.counterfactuals.ways import (
    ASCENT,
    LEAST_CLASS,
    LEAST_SURE,
    LINE,
    PREDICTION,
    WAYS,
    answers,
    mean_share,
    share_in_tangent,
)
from examples.paper.walked import log_probs, norm
from lightning_leaf import Normalization, fisher_rao_distance

FOLDER = Path(__file__).parents[2] / "examples" / "counterfactuals"
PIXELS = Normalization((0.5,), (0.01,))  # wide bounds


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counterfactuals")
    assert main(["--quick", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    """A linear classifier of two classes: s₁ − s₀ = 2 x₀ + x₁ of four pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0]]))
    return model.requires_grad_(False)


def question(model: nn.Module, x: Tensor, target: Tensor) -> Question:
    asked = swapped(log_probs(model, x), target)
    return Question(x, target, asked, nearest=-x, tolerance=0.01)


def results(folder: Path) -> Any:
    return json.loads((folder / "results.json").read_text())


def test_quick_run_reports_every_way_with_figures(out: Path) -> None:
    report = (out / "README.md").read_text()
    for kind in KINDS:
        assert f"(figures/{kind}.png)" in report
        for target in TARGETS:
            ways = results(out)["numbers"][kind][target]
            assert tuple(ways) == WAYS
            assert all(tuple(numbers) == tuple(COLUMNS) for numbers in ways.values())
    tables = report.split("\nTarget: ")[1:]
    assert len(tables) == len(KINDS) * len(TARGETS)
    assert all(table.count(f"\n| {way} |") == 1 for table in tables for way in WAYS)
    for name in (*KINDS, "sizes"):
        assert (out / "figures" / f"{name}.png").stat().st_size > 10_000


def test_least_change_is_less_than_that_of_gradient_ascent(out: Path) -> None:
    for kind in KINDS:
        found = torch.load(out / "measured" / f"quick-{kind}-0.pt", weights_only=True)
        for target in TARGETS:
            least, ascent = (found[target][way]["size"] for way in (LEAST_SURE, ASCENT))
            assert (least <= ascent + 1e-4).all()
            assert (least < 0.98 * ascent).any()


def test_measurements_on_disk_are_reused(out: Path) -> None:
    before = (out / "README.md").read_text()
    stamps = {file: file.stat().st_mtime_ns for file in out.glob("*/*.pt")}
    (out / "README.md").unlink()
    assert main(["--quick", "--out", str(out)]) == 0
    assert (out / "README.md").read_text() == before
    assert {file: file.stat().st_mtime_ns for file in out.glob("*/*.pt")} == stamps


def test_judges_are_other_networks(out: Path) -> None:
    comparison = Comparison(QUICK, 3, None, out)
    seeds: list[tuple[str, int]] = []
    comparison.__dict__["network"] = lambda kind, seed: seeds.append((kind, seed))
    comparison.judges("noise", 1)
    assert seeds == [("noise", 0), ("noise", 2)]


def test_images_are_classified_correctly_by_all_networks(out: Path) -> None:
    comparison = Comparison(QUICK, 1, None, out)
    images = comparison.images
    x = comparison.sources(0)
    assert len(x) == QUICK.images
    rows = [int((images.test == image).flatten(1).all(1).nonzero()[0]) for image in x]
    for kind in KINDS:
        predicted = log_probs(comparison.network(kind, 0), x).argmax(1)
        assert (predicted == images.test_labels[rows]).all()


def test_ways_of_a_linear_classifier_are_the_closed_form(linear: nn.Module) -> None:
    """All ways but the line go along w = (2, 1, 0, 0), which spans D."""
    x = torch.tensor([[-1.0, 0.5, 3.0, 0.0], [-0.5, -0.5, 0.0, 1.0]]).reshape(2, 1, 2, 2)
    asked = question(linear, x, torch.ones(2, dtype=torch.long))
    odds = torch.tensor([-1.5, -1.5], dtype=torch.float64)  # 2 x₀ + x₁
    found = dict(answers(linear, asked, QUICK, PIXELS))
    exact = {PREDICTION: -2 * odds / 5**0.5, LEAST_CLASS: -odds / 5**0.5}
    for way, expected in exact.items():
        size = norm(found[way].end - x)
        assert torch.allclose(size, expected, rtol=0.03), way
        assert share_in_tangent(linear, x, found[way].end - x).min() > 0.999
    bound = (asked.least_log_odds - odds) / 5**0.5
    assert torch.allclose(norm(found[LEAST_SURE].end - x), bound, rtol=0.03)
    for way in (PREDICTION, LEAST_SURE, ASCENT, LINE):
        assert asked.is_sure(log_probs(linear, found[way].end)).all(), way
    assert not asked.is_sure(log_probs(linear, found[LEAST_CLASS].end)).any()
    assert (share_in_tangent(linear, x, found[LINE].end - x) < 0.9).all()
    assert torch.equal(found[LINE].passes, torch.zeros(2, dtype=torch.float64))
    assert found[ASCENT].passes.tolist() == [7, 7]  # 1.34 / 0.2


def test_sure_means_within_the_tolerance_of_the_probability_asked_for() -> None:
    log_p = torch.tensor([[0.9999, 0.00007, 0.00003]], dtype=torch.float64).log()
    target = torch.tensor([1])
    asked = swapped(log_p, target)
    assert asked.exp()[0].tolist() == pytest.approx([0.00007, 0.9999, 0.00003])
    one = Question(torch.zeros(1, 1), target, asked, torch.zeros(1, 1), tolerance=0.01)

    def sure(*p: float) -> bool:
        return bool(one.is_sure(torch.tensor([p], dtype=torch.float64).log()))

    assert sure(0.0, 1.0, 0.0)  # more sure than asked for
    assert sure(0.0001, 0.99985, 0.00005)
    assert not sure(0.0003, 0.9997, 0.0)
    # The edge: log-odds and Fisher–Rao distance of two classes agree.
    p = torch.sigmoid(one.least_log_odds)[0]
    edge = torch.stack([1 - p, p]).log()
    whole = torch.tensor([0.0001, 0.9999], dtype=torch.float64).log()
    assert fisher_rao_distance(edge, whole).item() == pytest.approx(0.01, rel=1e-3)
    assert sure(0.0, float(p) + 1e-6, 1 - float(p) - 1e-6)
    assert not sure(0.0, float(p) - 1e-6, 1 - float(p) + 1e-6)


def test_attack_stays_in_its_ball_and_raises_the_loss() -> None:
    torch.manual_seed(0)
    x, labels = torch.randn(50, 1, 2, 2), torch.randint(2, (50,))
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    moved = attacked(model, x, labels, 0.5)
    assert all(weight.requires_grad for weight in model.parameters())
    assert norm(moved - x).max() <= 0.5 + 1e-6

    def loss(inputs: Tensor) -> float:
        return float(nn.functional.cross_entropy(model(inputs), labels).detach())

    noise = torch.randn_like(x)
    noise *= 0.5 / noise.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    assert loss(moved) > loss(x + noise) + 0.05


def test_opinions_are_averaged_over_judges(linear: nn.Module) -> None:
    opposite = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        opposite[1].weight.copy_(-linear[1].weight)
    x = torch.tensor([[1.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    target = torch.tensor([1, 1])
    agrees, probability = asked_of([linear], x, target)
    assert agrees.tolist() == [1, 0]
    assert probability[0] == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item())
    agrees, probability = asked_of([linear, opposite], x, target)
    assert agrees.tolist() == [0.5, 0.5]
    assert probability.tolist() == pytest.approx([0.5, 0.5])


def test_mean_share_is_unknown_without_steps(linear: nn.Module) -> None:
    x = torch.zeros(1, 1, 2, 2)
    across, along = torch.zeros(2, 1, 1, 2, 2)
    across[0, 0, 1, 1], along[0, 0, 0] = 1, torch.tensor([2.0, 1.0])
    row = torch.tensor([0])
    shares = mean_share(linear, [(row, x, across), (row, x, along)], 2)
    assert shares[0] == pytest.approx(0.5)
    assert shares[1].isnan()


def test_committed_report_is_generated_from_the_committed_numbers(tmp_path: Path) -> None:
    written = write_readme(FOLDER, tmp_path)
    assert written.read_text() == (FOLDER / "README.md").read_text()
    assert results(FOLDER)["scale"]["name"] == "full"


def test_report_changes_with_the_numbers(tmp_path: Path) -> None:
    shutil.copyfile(FOLDER / "results.json", tmp_path / "results.json")
    changed = results(FOLDER)
    changed["numbers"]["plain"]["runner-up"]["straight line"]["own agrees"] = [0.12345]
    (tmp_path / "results.json").write_text(json.dumps(changed))
    report = write_readme(tmp_path, tmp_path).read_text()
    assert "| 12% |" in report
    assert report != (FOLDER / "README.md").read_text()


def test_full_scale_without_data_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path)]) == 2
    assert "--data DIR" in capsys.readouterr().err
    assert main(["--data", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
