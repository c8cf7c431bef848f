"""Snapshots of prediction paths: where they lead, from which examples, and a second opinion."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import LeafError, PredictionPathSnapshot, prediction_path
from lightning_leaf.callbacks.prediction_targets import class_number, others, runners_up, spread
from lightning_leaf.data.batches import Examples
from tests.support.callbacks.training import SmallCNN, digits, fit, ignore_lightning, snapshots

pytestmark = ignore_lightning

QUICK: dict[str, Any] = {"max_steps": 6, "on_error": "raise"}
NAMES = [f"digit {k}" for k in range(10)]


class Judge(nn.Module):
    """Another network, with dropout and batch-norm, whose state a forward pass would change."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.BatchNorm1d(64), nn.Dropout(0.9), nn.Linear(64, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def images() -> tuple[Tensor, Tensor]:
    pictures, labels = digits()
    return pictures[100:106], labels[100:106]


class Trained(NamedTuple):
    """A training with a callback for each ``to``."""

    root: Path
    module: SmallCNN
    judge: Judge
    judged_before: dict[str, Tensor]
    warnings: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    judge = Judge()
    judge(torch.rand(20, 1, 8, 8))  # in training mode
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    common: dict[str, Any] = {"class_names": NAMES, "domain": (-1, 2), **QUICK}
    callbacks = [
        PredictionPathSnapshot([2, "fit_end"], images(), judge=judge, name="runner_up", **common),
        PredictionPathSnapshot("fit_end", images(), to="digit 4", name="named", **common),
        PredictionPathSnapshot("fit_end", images(), to=4, name="numbered", **common),
        PredictionPathSnapshot("fit_end", (images()[0][:2], images()[1][:2]), to="each", **common),
        PredictionPathSnapshot("fit_end", 5, to=3, name="counted", **common),
        PredictionPathSnapshot(
            [2, "fit_end"], 1, judge=Judge(7), name="wrong", max_steps=1, class_names=NAMES
        ),
    ]
    with pytest.warns(UserWarning, match="without the judge") as caught:
        trainer = fit(root, *callbacks, max_steps=24)
    texts = [str(each.message) for each in caught if "judge" in str(each.message)]
    return Trained(root, trainer.lightning_module, judge, before, texts)


def predicted(module: nn.Module, x: Tensor) -> Tensor:
    return module.eval()(x).detach().double().log_softmax(1)


def test_each_example_goes_towards_its_runner_up(trained: Trained) -> None:
    last = snapshots(trained.root, "runner_up")[-1]
    expected = predicted(trained.module, images()[0]).topk(2).indices[:, 1]
    assert [path.destination for path in last.paths] == [NAMES[k] for k in expected]
    assert [path.source for path in last.paths] == [NAMES[k] for k in images()[1]]
    whole = prediction_path(
        trained.module, images()[0], expected, max_steps=6, domain=(-1, 2), progress=False
    )
    for record, single in zip(last.paths, whole, strict=True):
        assert (record.status, record.steps) == (single.status.value, single.steps)
        assert record.final_distance == pytest.approx(float(single.distance[-1]), abs=1e-4)
        assert record.change == pytest.approx(single.change, abs=1e-4)


@pytest.mark.parametrize("name", ["named", "numbered"])
def test_all_examples_go_towards_a_class_unless_they_are_there(trained: Trained, name: str) -> None:
    (snapshot,) = snapshots(trained.root, name)
    there = predicted(trained.module, images()[0]).argmax(1) == 4
    assert there.any()
    assert not there.all()
    assert [path.source for path in snapshot.paths] == [NAMES[k] for k in images()[1][~there]]
    assert {path.destination for path in snapshot.paths} == {"digit 4"}


def test_each_example_goes_towards_every_other_class(trained: Trained) -> None:
    (snapshot,) = snapshots(trained.root, "each_class")
    own = predicted(trained.module, images()[0][:2]).argmax(1).tolist()
    assert [(path.source, path.destination) for path in snapshot.paths] == [
        (NAMES[label], NAMES[k])
        for label, predicted_class in zip(images()[1][:2].tolist(), own, strict=True)
        for k in range(10)
        if k != predicted_class
    ]


def test_a_number_of_examples_is_spread_over_the_other_classes(trained: Trained) -> None:
    (snapshot,) = snapshots(trained.root, "counted")
    sources = [path.source for path in snapshot.paths]
    assert "digit 3" not in sources
    assert len(set(sources)) == len(sources) >= 4  # one may be predicted as a 3


def test_another_network_judges_the_ends_and_is_left_as_it_was(trained: Trained) -> None:
    judge = trained.judge
    assert judge.training
    assert all(judge.net[k].training for k in range(4))
    for name, value in judge.state_dict().items():
        assert torch.equal(value, trained.judged_before[name])
    last = snapshots(trained.root, "runner_up")[-1]
    expected = predicted(trained.module, images()[0]).topk(2).indices[:, 1]
    path = prediction_path(
        trained.module, images()[0], expected, max_steps=6, domain=(-1, 2), progress=False
    )
    ends = torch.stack([single.points[-1] for single in path])
    p = predicted(judge, ends).exp()
    assert [each.judged for each in last.paths] == [NAMES[k] for k in p.argmax(1)]
    shown = [each.judged_probability for each in last.paths]
    assert shown == pytest.approx(p.amax(1).tolist(), abs=1e-3)
    judge.train()


def test_an_error_of_the_judge_is_reported_once_and_switches_only_the_judge_off(
    trained: Trained,
) -> None:
    (message,) = trained.warnings
    assert "PredictionPathSnapshot(name='wrong') takes its snapshots without the judge" in message
    assert "judge expects a classifier of the same 10 classes; got 7 scores" in message
    taken = snapshots(trained.root, "wrong")
    assert [snapshot.step for snapshot in taken] == [2, 24]
    assert {path.judged for snapshot in taken for path in snapshot.paths} == {""}


def test_a_judge_that_exits_does_not_end_the_training(tmp_path: Path) -> None:
    snapshot = PredictionPathSnapshot([1], 1, judge=lambda x: sys.exit(), max_steps=1)
    with pytest.warns(UserWarning, match="without the judge.*SystemExit"):
        trainer = fit(tmp_path, snapshot, max_steps=2)
    assert trainer.global_step == 2
    assert snapshot.last_snapshot is not None
    # Negative control: on_error="raise" raises it.
    raising = PredictionPathSnapshot([1], 1, judge=lambda x: sys.exit(), **QUICK)
    with pytest.raises(LeafError, match="SystemExit"):
        fit(tmp_path, raising, max_steps=2)


def test_no_snapshot_is_taken_if_the_class_is_predicted_for_all_examples(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class AlwaysSeven(SmallCNN):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 50 * nn.functional.one_hot(torch.tensor(7), 10)

    snapshot = PredictionPathSnapshot([1, "fit_end"], images(), to=7, **QUICK)
    with caplog.at_level("INFO", logger="lightning_leaf"):
        trainer = fit(tmp_path, snapshot, module=AlwaysSeven(), max_steps=2)
    assert trainer.global_step == 2
    assert snapshots(tmp_path) == []
    (message,) = [text for text in caplog.messages if "takes no snapshot" in text]
    assert "because '7' is predicted for all 6 examples already" in message


class Labels(SmallCNN):
    """A classifier of independent labels: whether the digit is 0, 1, …"""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.binary_cross_entropy_with_logits(self(x), y.float())

    validation_step = None  # type: ignore[assignment]


def test_independent_labels_change_one_at_a_time(tmp_path: Path) -> None:
    x, y = digits()
    rows = DataLoader(TensorDataset(x[:128], nn.functional.one_hot(y[:128], 10)), 64)
    labels: dict[str, Any] = {"likelihood": "bernoulli", **QUICK}
    each = PredictionPathSnapshot("fit_end", x[:1], to="each", **labels)
    nearest = PredictionPathSnapshot("fit_end", x[:4], **labels)
    trainer = fit(tmp_path, each, nearest, module=Labels(), train=rows, validation=None)
    assert each.last_snapshot is not None
    assert nearest.last_snapshot is not None
    p = trainer.lightning_module.eval()(x[:4]).sigmoid().detach()

    def name(row: int, k: int) -> str:
        return f"not {k}" if p[row, k] > 0.5 else str(k)

    closest = (p - 0.5).abs().argsort(1)
    shown = [path.destination for path in each.last_snapshot.paths]
    assert shown == [name(0, k) for k in sorted(closest[0, :9].tolist())]
    shown = [path.destination for path in nearest.last_snapshot.paths]
    assert shown == [name(row, int(closest[row, 0])) for row in range(4)]


def test_a_dev_run_and_non_finite_weights_leave_the_training_alone(tmp_path: Path) -> None:
    class Diverging(SmallCNN):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if batch_idx == 1:
                self.net[-1].weight.data.fill_(torch.nan)

    quick = PredictionPathSnapshot(examples=2, tolerance=1e-9, on_error="raise")
    fit(tmp_path / "dev", quick, fast_dev_run=True)
    assert quick.last_snapshot is not None
    assert [path.steps for path in quick.last_snapshot.paths] == [2, 2]
    both = [
        PredictionPathSnapshot(2, 2, judge=Judge(), **QUICK),
        PredictionPathSnapshot(2, 1, to="each", **QUICK),
    ]
    trainer = fit(tmp_path, *both, module=Diverging(), validation=None, max_steps=3)
    assert trainer.global_step == 3
    statuses = {path.status for shown in snapshots(tmp_path) for path in shown.paths}
    assert statuses == {"non_finite"}


def test_other_classes_are_the_most_probable_ones() -> None:
    log_p = torch.rand(5, 30).log_softmax(1)
    expected = [sorted(row) for row in log_p.topk(10).indices[:, 1:].tolist()]
    assert others(log_p, "categorical") == expected
    assert runners_up(log_p, "categorical") == log_p.topk(2).indices[:, 1].tolist()


def test_examples_are_spread_over_classes() -> None:
    labels = (3, 3, 3, 7, 3, 5)
    examples = Examples(torch.zeros(6, 2), labels, tuple(range(6)))
    assert spread(examples, 4).indices == (0, 3, 5, 1)
    assert spread(examples, 3, without=3).indices == (3, 5, 0)
    assert spread(Examples(torch.zeros(6, 2)), 4).inputs.shape == (4, 2)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "to": ({"to": 1.5}, "to expects 'runner_up', 'each', or the number or the name of a class"),
    "negative": ({"to": -1}, "to expects"),
    "examples": ({"examples": 0}, "examples expects"),
    "text": ({"examples": "val"}, "examples expects how many examples"),
    "tolerance": ({"tolerance": 0}, "tolerance expects a positive"),
    "judge": ({"judge": "net.pt"}, "judge expects a trained classifier.*got 'net.pt'"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD.keys())
def test_errors_name_the_argument(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        PredictionPathSnapshot(**arguments)


def test_unknown_classes_are_named() -> None:
    with pytest.raises(LeafError, match=r"a class from 0 to 1, .*such as 'cat'; got 'cow'\."):
        class_number("cow", ("cat", "dog"), 2)
    with pytest.raises(LeafError, match=r"a class from 0 to 1; got 2\."):
        class_number(2, None, 2)
    assert class_number("dog", ("cat", "dog"), 2) == 1
    assert class_number("1", None, None) == 1
