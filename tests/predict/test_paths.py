"""Thousands of paths have one row each, which is what the path itself says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lightning_leaf import LeafError, horizontal_path
from lightning_leaf.predict import PairDataset, PathPredictor
from tests.support.callbacks.training import ignore_lightning
from tests.support.cases import fresh_seeds
from tests.support.predict.measuring import BATCH, Scaling, classifier, data, pairs, rows_of

pytestmark = ignore_lightning

(SEED,) = fresh_seeds(1)


def test_rows_tell_what_became_of_every_horizontal_path() -> None:
    model, dataset = classifier(SEED), pairs(SEED)
    terms: dict[str, Any] = {"step_size": 0.05, "max_steps": 150, "threshold": 2.0}
    rows = rows_of(PathPredictor(model, domain=(0, 1), **terms), dataset)
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
    # The same batches: over many steps last digits grow.
    alike: dict[str, Any] = {"chunk_size": BATCH, "progress": False}
    paths = horizontal_path(model, *ends, domain=(0, 1), **terms, **alike)
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
    # Ends exchanged would be seen.
    backwards = horizontal_path(model, *ends[::-1], domain=(0, 1), **terms, **alike)
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


def test_walks_do_not_depend_on_which_batch_they_are_in() -> None:
    model, dataset = classifier(SEED), data(SEED)
    predictor = PathPredictor(model, "orthogonal", max_steps=20, seed=3)
    rows = rows_of(predictor, dataset)
    assert rows["source_index"] == rows["index"]
    assert rows["source_label"] == dataset.tensors[1].tolist()
    assert "destination_index" not in rows
    again = rows_of(predictor, dataset, batch_size=25)
    for name in ("distance", "fisher_rao_length", "mean_horizontality"):
        assert again[name] == pytest.approx(rows[name], rel=1e-2, abs=1e-9)
    other = rows_of(PathPredictor(model, "orthogonal", max_steps=20, seed=4), dataset)
    assert other["fisher_rao_length"] != pytest.approx(rows["fisher_rao_length"], rel=1e-2)


def test_ends_that_are_not_finite_have_a_row() -> None:
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


def test_pairs_may_be_plain_tuples_with_or_without_labels() -> None:
    model = classifier(SEED)
    images, labels = data(SEED).tensors
    plain = rows_of(PathPredictor(model, max_steps=5), TensorDataset(images[:6], images[6:12]))
    both = [((images[i], labels[i]), (images[i + 6], labels[i + 6])) for i in range(6)]
    labelled = rows_of(PathPredictor(model, max_steps=5), both)
    assert plain["remaining_distance"] == labelled["remaining_distance"]
    assert plain["source_label"] == plain["source_index"] == [None] * 6
    assert labelled["destination_label"] == labels[6:12].tolist()


def test_a_lightning_module_is_asked_to_transfer_both_ends() -> None:
    images, labels = data(SEED).tensors
    as_bytes = (255 * images).round().byte()
    terms: dict[str, Any] = {"max_steps": 5}
    positions = [(0, 1), (2, 3)]
    rows = rows_of(
        PathPredictor(Scaling(), **terms), PairDataset(TensorDataset(as_bytes, labels), positions)
    )
    scaled = TensorDataset(as_bytes.float() / 255, labels)
    assert rows == rows_of(PathPredictor(classifier(), **terms), PairDataset(scaled, positions))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "diagonal"}, "'horizontal' or 'orthogonal'; got 'diagonal'"),
        ({"kind": "orthogonal", "threshold": 1.0}, "leave out threshold"),
        ({"step_size": 0.0}, "step_size expects a positive number"),
        ({"max_steps": -1}, "max_steps expects a whole number"),
        ({"normalize": 3}, "normalize expects"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(LeafError, match=said):
        PathPredictor(classifier(), **arguments)


class Singles(TensorDataset):
    def __getitem__(self, index: int) -> Tensor:
        return self.tensors[0][index]


def test_batches_that_are_no_pairs_are_refused() -> None:
    predictor = PathPredictor(classifier())
    with pytest.raises(LeafError, match="PairDataset"):
        rows_of(predictor, Singles(torch.rand(4, 1, 8, 8)))
    with pytest.raises(LeafError, match="the same shape"):
        rows_of(predictor, TensorDataset(torch.rand(4, 1, 8, 8), torch.rand(4, 1, 9, 9)))
    assert len(next(iter(DataLoader(pairs(), 2)))["source"]) == 2
