"""Every path has one row, whose values are those of the path."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import LeafError, horizontal_path, orthogonal_walk
from lightning_leaf.predict import PairDataset, PathPredictor
from lightning_leaf.predict.columns import TableKind
from tests.support.callbacks.training import ignore_lightning
from tests.support.cases import fresh_seeds
from tests.support.predict.measuring import BATCH, Scaling, classifier, data, pairs, rows_of

pytestmark = ignore_lightning

(SEED,) = fresh_seeds(1)


def test_rows_equal_the_horizontal_paths() -> None:
    model, dataset = classifier(SEED), pairs(SEED)
    options: dict[str, Any] = {"step_size": 0.05, "max_steps": 150, "threshold": 2.0}
    rows = rows_of(PathPredictor(model, domain=(0, 1), **options), dataset)
    sources, destinations = zip(*dataset.pairs, strict=True)
    assert rows["index"] == list(range(len(dataset)))
    assert (rows["source_index"], rows["destination_index"]) == (
        list(sources),
        list(destinations),
    )
    images, labels = data(SEED).tensors
    assert rows["source_label"] == labels[list(sources)].tolist()
    assert rows["destination_label"] == labels[list(destinations)].tolist()
    ends = images[list(sources)], images[list(destinations)]
    # The same batches, because rounding differences grow over many path steps.
    batches: dict[str, Any] = {"chunk_size": BATCH, "progress": False}
    paths = horizontal_path(model, *ends, domain=(0, 1), **options, **batches)
    for i, path in enumerate(paths):
        row = {name: rows[name][i] for name in rows}
        assert row["status"] == path.status.value
        assert row["steps"] == path.steps
        last = path.log_probs[-1].exp()
        assert row["final_label"] == int(last.argmax())
        assert row["first_label"] == int(path.log_probs[0].argmax())
        assert [row[name] for name in NUMBERS] == pytest.approx(
            [
                float(path.distance[0]),
                float(path.distance[-1]),
                float(path.horizontality.mean()),
                float(path.horizontality.min()),
                float(path.fisher_rao_length[-1]),
                float(last.max()),
            ],
            rel=1e-3,
        )
    # Negative control: exchanged ends give other lengths.
    backwards = horizontal_path(model, *ends[::-1], domain=(0, 1), **options, **batches)
    lengths = [float(path.fisher_rao_length[-1]) for path in backwards]
    assert rows["fisher_rao_length"] != pytest.approx(lengths, rel=1e-2)


NUMBERS = (
    "start_distance",
    "remaining_distance",
    "mean_horizontality",
    "min_horizontality",
    "fisher_rao_length",
    "final_probability",
)


def test_walks_depend_on_the_seed_but_not_on_the_batch() -> None:
    model, dataset = classifier(SEED), data(SEED, inputs=30)
    # Large path steps, because the length of a walk with tiny steps is a rounding error.
    options: dict[str, Any] = {"step_size": 0.3, "max_steps": 20}
    predictor = PathPredictor(model, "orthogonal", seed=3, **options)
    rows = rows_of(predictor, dataset)
    assert rows["source_index"] == rows["index"]
    assert rows["source_label"] == dataset.tensors[1].tolist()
    assert "destination_index" not in rows
    again = rows_of(predictor, dataset, batch_size=25)
    for name in ("distance", "fisher_rao_length", "final_probability"):
        assert again[name] == pytest.approx(rows[name], rel=1e-2)
    other = rows_of(PathPredictor(model, "orthogonal", seed=4, **options), dataset)
    assert other["fisher_rao_length"] != pytest.approx(rows["fisher_rao_length"], rel=1e-2)


def test_paths_with_non_finite_ends_have_a_row() -> None:
    images, labels = data(SEED).tensors
    images = images.clone()
    images[4, 0, 1, 1] = torch.inf
    dataset = PairDataset(TensorDataset(images, labels), [(0, 1), (2, 4), (4, 5), (6, 7)])
    rows = rows_of(PathPredictor(classifier(SEED), max_steps=5), dataset)
    finite = [status != "non_finite" for status in rows["status"]]
    assert finite == [True, False, False, True]
    assert [steps > 0 for steps in rows["steps"]] == finite
    assert [length is not None for length in rows["start_distance"]] == finite
    assert rows["source_index"] == [0, 2, 4, 6]
    assert rows["source_label"] == labels[[0, 2, 4, 6]].tolist()


def test_pairs_may_be_tuples_with_or_without_labels() -> None:
    model = classifier(SEED)
    images, labels = data(SEED).tensors
    plain = rows_of(PathPredictor(model, max_steps=5), TensorDataset(images[:6], images[6:12]))
    both = [((images[i], labels[i]), (images[i + 6], labels[i + 6])) for i in range(6)]
    labelled = rows_of(PathPredictor(model, max_steps=5), both)
    assert plain["remaining_distance"] == labelled["remaining_distance"]
    assert plain["source_label"] == plain["source_index"] == [None] * 6
    assert labelled["destination_label"] == labels[6:12].tolist()


def test_transfer_hooks_of_the_classifier_get_both_ends() -> None:
    images, labels = data(SEED).tensors
    as_bytes = (255 * images).round().byte()
    options: dict[str, Any] = {"max_steps": 5}
    positions = [(0, 1), (2, 3)]
    rows = rows_of(
        PathPredictor(Scaling(), **options), PairDataset(TensorDataset(as_bytes, labels), positions)
    )
    scaled = TensorDataset(as_bytes.float() / 255, labels)
    assert rows == rows_of(PathPredictor(classifier(), **options), PairDataset(scaled, positions))


@pytest.mark.parametrize("kind", get_args(TableKind))
def test_default_of_max_steps_depends_on_the_kind(kind: TableKind) -> None:
    function = {"horizontal": horizontal_path, "orthogonal": orthogonal_walk}[kind]
    default = inspect.signature(function).parameters["max_steps"].default
    assert PathPredictor(classifier(), kind).settings["max_steps"] == default
    assert PathPredictor(classifier(), kind, max_steps=7).settings["max_steps"] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "diagonal"}, "kind expects one of 'horizontal', 'orthogonal'; got 'diagonal'"),
        ({"kind": "orthogonal", "threshold": 1.0}, "Remove threshold"),
        ({"step_size": 0.0}, "step_size expects a positive number"),
        ({"max_steps": -1}, "max_steps expects a whole number"),
        ({"normalize": 3}, "normalize expects"),
    ],
)
def test_arguments_out_of_range_raise(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LeafError, match=message):
        PathPredictor(classifier(), **arguments)


class Singles(TensorDataset):
    def __getitem__(self, index: int) -> Tensor:
        return self.tensors[0][index]


def test_batches_without_pairs_raise() -> None:
    predictor = PathPredictor(classifier())
    with pytest.raises(LeafError, match="PairDataset"):
        rows_of(predictor, Singles(torch.rand(4, 1, 8, 8)))
    with pytest.raises(LeafError, match="of the same shape"):
        rows_of(predictor, TensorDataset(torch.rand(4, 1, 8, 8), torch.rand(4, 1, 9, 9)))
    assert len(next(iter(DataLoader(pairs(), 2)))["source"]) == 2
