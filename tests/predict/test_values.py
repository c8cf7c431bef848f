"""The rows of a data set equal the local data matrix and the reference at each input."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightning_leaf import LeafError, LocalDataMatrix, effective_rank
from lightning_leaf.geometry.rank_kinds import RANK_KINDS
from lightning_leaf.model.quiet import quiet
from lightning_leaf.predict import LeafPredictor, PathPredictor
from lightning_leaf.predict.predictor import Predictor
from tests.support import oracle
from tests.support.callbacks.training import ignore_lightning
from tests.support.cases import CASES, Case, fresh_seeds
from tests.support.predict.measuring import QUIET, Scaling, classifier, data, rows_of

pytestmark = ignore_lightning

(SEED,) = fresh_seeds(1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rows_equal_the_reference_and_the_local_data_matrix(case: Case) -> None:
    model, x = case.make(SEED, batch=7)
    rows = rows_of(LeafPredictor(model, ranks=RANK_KINDS), TensorDataset(x), batch_size=3)
    assert rows["index"] == list(range(7))
    assert rows["status"] == ["ok"] * 7
    assert rows["label"] == [None] * 7
    g = LocalDataMatrix.at(model, x)
    assert rows["trace"] == pytest.approx(g.trace().tolist(), rel=1e-4)
    assert rows["tangent_dimension"] == g.tangent_dimension().tolist()
    for kind in set(RANK_KINDS) - {"threshold"}:
        expected = effective_rank(g.eigenvalues(), kind).tolist()
        assert rows[f"effective_rank_{kind}"] == pytest.approx(expected, rel=1e-4)
    matrices = oracle.data_matrix(copy.deepcopy(model).double().eval(), x)
    spectrum = torch.linalg.eigvalsh(matrices).flip(-1)
    eigenvalues = torch.tensor(rows["eigenvalues"])
    scale = spectrum[:, :1].clamp_min(1e-300)
    torch.testing.assert_close(
        eigenvalues / scale,
        spectrum[:, : case.classes] / scale,
        rtol=1e-3,
        atol=1e-6,
        check_dtype=False,
    )
    assert rows["trace"] == pytest.approx(spectrum.sum(-1).tolist(), rel=1e-3)
    # Negative control: exchanged rows have other traces.
    if case.name != "linear":
        assert rows["trace"] != pytest.approx(rows["trace"][1:] + rows["trace"][:1], rel=1e-3)


def test_rows_contain_labels_predictions_and_probabilities() -> None:
    dataset, model = data(SEED), classifier(SEED).eval()
    rows = rows_of(LeafPredictor(model), dataset)
    p = model(dataset.tensors[0]).softmax(-1)
    assert rows["label"] == dataset.tensors[1].tolist()
    assert rows["predicted_label"] == p.argmax(-1).tolist()
    assert rows["probability"] == pytest.approx(p.amax(-1).tolist(), rel=1e-4)
    assert rows["label"] != rows["predicted_label"]


def test_only_the_largest_eigenvalues_are_kept() -> None:
    model, dataset = nn.Linear(20, 40), TensorDataset(torch.rand(3, 20))
    assert [len(row) for row in rows_of(LeafPredictor(model), dataset)["eigenvalues"]] == [16] * 3
    few = rows_of(LeafPredictor(model, eigenvalues=2), dataset)
    g = LocalDataMatrix.at(model, dataset.tensors[0])
    assert torch.tensor(few["eigenvalues"]).allclose(g.eigenvalues()[:, :2].float(), rtol=1e-4)
    # The effective rank uses the whole spectrum.
    expected = effective_rank(g.eigenvalues()).tolist()
    assert few["effective_rank_entropy"] == pytest.approx(expected, rel=1e-4)
    assert expected[0] > 2


def test_estimates_for_many_classes_have_standard_errors() -> None:
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(30, 40), nn.GELU(), nn.Linear(40, 200))
    dataset = TensorDataset(torch.randn(6, 30))
    rows = rows_of(LeafPredictor(model), dataset)
    errors = torch.tensor(rows["trace_standard_error"])
    exact = LocalDataMatrix.at(model, dataset.tensors[0])
    assert (errors > 0).all()
    assert ((torch.tensor(rows["trace"]) - exact.trace()).abs() < 6 * errors).all()
    largest = exact.eigenvalues()[:, :16].float()
    assert torch.tensor(rows["eigenvalues"]).allclose(largest, rtol=0.05)
    assert rows["tangent_dimension"] == [None] * 6
    assert rows["status"] == ["ok"] * 6
    # Few classes are exact.
    assert set(rows_of(LeafPredictor(classifier()), data())["trace_standard_error"]) == {0.0}


class RootNet(nn.Module):
    """A network with √x, which is finite at zero and has an infinite derivative there."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.sqrt())


def test_non_finite_inputs_have_a_status_and_do_not_affect_other_rows() -> None:
    x = torch.rand(9, 6) + 0.1
    model = RootNet()
    expected = rows_of(LeafPredictor(model), TensorDataset(x))
    changed = x.clone()
    changed[2, 1] = torch.nan  # the input itself
    changed[4, 0] = -1.0  # the scores: √ of a negative number
    changed[7, 3] = 0.0  # the derivatives
    rows = rows_of(LeafPredictor(model), TensorDataset(changed))
    bad = [2, 4, 7]
    assert [i for i, status in enumerate(rows["status"]) if status == "non_finite"] == bad
    for name in set(rows) - {"index", "label", "status"}:
        assert all(rows[name][i] is None for i in bad), name
        assert [v for i, v in enumerate(rows[name]) if i not in bad] == [
            pytest.approx(v, rel=1e-5) for i, v in enumerate(expected[name]) if i not in bad
        ]
    assert None not in expected["trace"]


def test_diverged_classifier_has_rows() -> None:
    model = classifier()
    with torch.no_grad():
        model[4].bias.fill_(torch.nan)
    rows = rows_of(LeafPredictor(model), data())
    assert set(rows["status"]) == {"non_finite"}
    assert set(rows["trace"]) == {None}


class OutOfMemoryAboveThree(nn.Module):
    """A classifier that fails as if memory ran out for more than three inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = classifier()

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 3:
            raise RuntimeError("out of memory")
        return self.inner(x)


@pytest.mark.parametrize(
    "make", [LeafPredictor, partial(PathPredictor, kind="orthogonal", max_steps=3)]
)
def test_classifier_is_opened_once_per_batch_even_after_out_of_memory_errors(
    make: Callable[[nn.Module], Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def counted(model: nn.Module) -> AbstractContextManager[None]:
        opened.append(model)
        return quiet(model)

    monkeypatch.setattr("lightning_leaf.model.classifier.quiet", counted)
    rows = rows_of(make(OutOfMemoryAboveThree()), data(inputs=20), batch_size=8)
    assert len(opened) == 1 + 3  # once more to judge the scores of the first batch
    expected = rows_of(make(classifier()), data(inputs=20), batch_size=8)
    assert rows["status"] == expected["status"]
    name = "trace" if "trace" in expected else "distance"
    assert rows[name] == pytest.approx(expected[name], rel=1e-3)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_classifier_can_be_trained_after_prediction_in_inference_mode(inference_mode: bool) -> None:
    model = classifier()
    before = copy.deepcopy(model.state_dict())
    rows = rows_of(LeafPredictor(model), data(), inference_mode=inference_mode)
    assert rows["trace"] == rows_of(LeafPredictor(model), data())["trace"]
    assert not any(p.is_inference() or p.grad is not None for p in model.parameters())
    assert not any(b.is_inference() for b in model.buffers())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model(data().tensors[0]).sum().backward()
    # Negative control: inference mode forbids gradients.
    if inference_mode:
        with pytest.raises(RuntimeError, match="does not require grad"):
            L.Trainer(**QUIET).predict(_Differentiating(), DataLoader(data(), 8))


class _Differentiating(L.LightningModule):
    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].clone().requires_grad_()
        return torch.autograd.grad(x.square().sum(), x)[0]


@pytest.mark.parametrize(
    "item", [lambda x, y: {"pixel_values": x, "labels": y}, lambda x, y: [x, y]]
)
def test_batches_may_be_mappings_or_sequences(item: Any) -> None:
    x, y = data().tensors
    items = [item(*pair) for pair in zip(x, y, strict=True)]
    rows = rows_of(LeafPredictor(classifier()), items)
    assert rows == rows_of(LeafPredictor(classifier()), data())


def test_transfer_hooks_of_the_classifier_are_called() -> None:
    x, y = data().tensors
    as_bytes = (255 * x).round().byte()
    rows = rows_of(LeafPredictor(Scaling()), TensorDataset(as_bytes, y))
    expected = rows_of(LeafPredictor(classifier()), TensorDataset(as_bytes.float() / 255, y))
    assert rows == expected
    with pytest.raises(LeafError, match="floating-point"):
        rows_of(LeafPredictor(classifier()), TensorDataset(as_bytes, y))


def test_functions_are_measured() -> None:
    model = classifier().eval()
    rows = rows_of(LeafPredictor(lambda x: model(x)), data())
    assert rows["trace"] == rows_of(LeafPredictor(model), data())["trace"]


class TwoHeads(nn.Module):
    """A module that is not called by itself, and a batch with other keys."""

    def __init__(self) -> None:
        super().__init__()
        self.labels = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


def several_labels(count: int = 9) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(SEED)
    pixels = torch.randn(count, 6, generator=generator)
    targets = (torch.rand(count, 3, generator=generator) > 0.4).float()
    targets[0] = torch.tensor([1.0, 1.0, 0.0])
    return [{"pixels": x, "others": x[:2], "y": y} for x, y in zip(pixels, targets, strict=True)]


def test_independent_labels_equal_the_reference() -> None:
    torch.manual_seed(SEED)
    model, items = TwoHeads(), several_labels()
    options: dict[str, Any] = {"forward": "labels", "batch": ("pixels", "y")}
    rows = rows_of(LeafPredictor(model, likelihood="bernoulli", **options), items, batch_size=4)
    head, x = copy.deepcopy(model.labels).double(), torch.stack([i["pixels"] for i in items])
    jacobian = torch.func.vmap(torch.func.jacrev(head))(x.double())  # (B, K, d)
    p = head(x.double()).sigmoid()
    trace = (p * (1 - p) * jacobian.square().sum(-1)).sum(-1)
    assert rows["trace"] == pytest.approx(trace.tolist(), rel=1e-4)
    assert rows["predicted_labels"] == [row.nonzero().flatten().tolist() for row in p >= 0.5]
    assert rows["probability"] == pytest.approx(torch.maximum(p, 1 - p).prod(-1).tolist(), rel=1e-4)
    # Negative control: read as exclusive classes, the same scores have other traces.
    categorical = LeafPredictor(model, likelihood="categorical", **options)
    assert rows_of(categorical, items)["trace"] != pytest.approx(trace.tolist(), rel=1e-2)
    with pytest.raises(LeafError, match="Pass likelihood='bernoulli' for independent labels"):
        rows_of(LeafPredictor(model, **options), items)


def test_paths_of_independent_labels_have_lists_of_labels() -> None:
    items = several_labels()
    options: dict[str, Any] = {"forward": "labels", "batch": ("pixels", "y"), "max_steps": 3}
    predictor = PathPredictor(TwoHeads(), "orthogonal", likelihood="bernoulli", **options)
    rows = rows_of(predictor, items)
    assert all(isinstance(labels, list) for labels in rows["final_labels"])
    assert "final_label" not in rows
    assert all(0.5**3 <= each <= 1 for each in rows["final_probability"])


def test_exact_uses_all_classes() -> None:
    torch.manual_seed(SEED)
    model = nn.Sequential(nn.Linear(30, 40), nn.GELU(), nn.Linear(40, 200))
    dataset = TensorDataset(torch.randn(4, 30))
    rows = rows_of(LeafPredictor(model, exact=True), dataset)
    exact = LocalDataMatrix.at(model, dataset.tensors[0])
    assert rows["trace"] == pytest.approx(exact.trace().tolist(), rel=1e-5)
    assert set(rows["trace_standard_error"]) == {0.0}
    assert None not in rows["tangent_dimension"]


def test_settings_contain_the_given_arguments_only() -> None:
    plain = LeafPredictor(classifier()).settings
    assert plain == {"task": "inputs", "ranks": ["entropy"], "eigenvalues": 16}
    predictor = LeafPredictor(
        classifier(), forward=several_labels, batch=["a", "b"], class_names=["cat", "dog"]
    )
    assert predictor.settings == plain | {
        "forward": "several_labels", "batch": ["a", "b"], "class_names": ["cat", "dog"]
    }  # fmt: skip


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        return iter(torch.rand(4, 1, 8, 8))


def test_data_without_positions_raises() -> None:
    predictor = LeafPredictor(classifier())
    trainer = L.Trainer(**QUIET)
    with pytest.raises(LeafError, match="map-style data set instead of an IterableDataset"):
        trainer.predict(predictor, DataLoader(Endless(), 2))
    with pytest.raises(LeafError, match="once for each loader"):
        trainer.predict(predictor, [DataLoader(data(), 8), DataLoader(data(), 8)])
    first_only = DataLoader(data(), 8, collate_fn=lambda items: torch.stack([items[0][0]]))
    with pytest.raises(LeafError, match="each example exactly once"):
        trainer.predict(predictor, first_only)


def test_ranks_can_be_one_name() -> None:
    assert "effective_rank_stable" in LeafPredictor(classifier(), ranks="stable").column_types
    default = LeafPredictor(classifier())  # negative control
    assert "effective_rank_stable" not in default.column_types


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ranks": "entropi"}, "ranks expects .*; got 'entropi'"),
        ({"ranks": ["entropi"]}, "got \\['entropi'\\]"),
        ({"eigenvalues": 0}, "at least 1"),
        ({"chunk_size": 0}, "chunk_size expects .* whole number"),
        ({"classifier": 3}, "function from inputs to logits"),
        ({"forward": 3}, "forward expects the name of a method"),
        ({"likelihood": "poisson"}, "likelihood expects one of 'categorical', 'bernoulli'"),
        ({"class_names": "cat"}, "class_names expects a list"),
    ],
)
def test_arguments_out_of_range_raise(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        LeafPredictor(**({"classifier": classifier()} | arguments))


MEMORY = """
import torch
from torch.utils.data import Dataset
from lightning_leaf import LocalDataMatrix
from lightning_leaf.predict import LeafPredictor
from tests.benchmarks.machine import peak_memory
from tests.support.predict.measuring import rows_of

class Large(Dataset):
    def __len__(self): return 200
    def __getitem__(self, i): return torch.full((8_000,), i / 200)

def peak(): return peak_memory() / 2**20

model = torch.nn.Linear(8_000, 10)
rows_of(LeafPredictor(model), torch.rand(8, 8_000))
before = peak()
rows_of(LeafPredictor(model), Large())
streamed = peak() - before
LocalDataMatrix.at(model, torch.stack([Large()[i] for i in range(200)]))
print(streamed, peak() - before)
"""


def test_memory_does_not_grow_with_the_data_set() -> None:
    """All gradients of this data set together take 64 MB."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEMORY], capture_output=True, text=True, check=True
    )
    streamed, at_once = map(float, done.stdout.split()[-2:])
    assert streamed < 20
    assert at_once > 60
