"""Inputs, labels, class names and normalisation are found in what data sets really yield."""

import struct
from collections import UserDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, random_split
from torchvision import transforms as v1
from torchvision.datasets import MNIST, FakeData, ImageFolder
from torchvision.transforms import v2

from lightning_leaf import LeafError
from lightning_leaf.data.batches import Examples, class_names_of, examples_of, normalization_of
from lightning_leaf.data.normalization import Normalization

X, Y = torch.randn(3, 2, 5), torch.tensor([2, 0, 1])
Item = namedtuple("Item", ["picture", "kind"])

LABELLED = {
    "tuple": (X, Y),
    "list": [X, Y],
    "named tuple": Item(X, Y),
    "more than two": (X, Y, ["a", "b", "c"]),
    "image": {"image": X, "label": Y},
    "hugging face vision": {"pixel_values": X, "labels": Y},
    "hugging face audio": UserDict({"labels": Y, "input_values": X, "attention_mask": Y}),
    "order of keys": {"idx": Y + 5, "target": Y, "x": X},
}


@pytest.mark.parametrize("batch", LABELLED.values(), ids=LABELLED.keys())
def test_inputs_and_labels_are_found(batch):
    examples = examples_of(batch)
    assert torch.equal(examples.inputs, X)
    assert examples.labels == (2, 0, 1)


UNLABELLED = {
    "tensor": X,
    "list of one": [X],
    "dict": {"img": X},
    "unknown key": {"img": X, "k": Y},
}


@pytest.mark.parametrize("batch", UNLABELLED.values(), ids=UNLABELLED.keys())
def test_inputs_without_labels_are_inputs(batch):
    examples = examples_of(batch)
    assert torch.equal(examples.inputs, X)
    assert examples.labels is None


def test_the_batch_of_the_training_is_copied():
    with torch.inference_mode():
        batch = X.clone()
    inputs = examples_of(batch).inputs
    with torch.inference_mode():
        batch.fill_(7)
    assert torch.equal(inputs, X)
    inputs.requires_grad_()
    assert not examples_of(X.clone().requires_grad_()).inputs.requires_grad


LABELS = {
    "integers": Y,
    "bytes": Y.byte(),
    "floats": Y.float(),
    "column of floats": Y.half().unsqueeze(1),
    "one-hot": nn.functional.one_hot(Y),
    "boolean one-hot": nn.functional.one_hot(Y).bool(),
    "soft": torch.tensor([[0.3, 0.3, 0.4], [0.8, 0.0, 0.2], [0.1, 0.6, 0.3]]),
    "smoothed in half precision": (nn.functional.one_hot(Y) * 0.9 + 0.1 / 3).bfloat16(),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_class_numbers_are_read(labels):
    assert examples_of((X, labels)).labels == (2, 0, 1)


def test_binary_targets_are_class_numbers():
    assert examples_of((X, torch.tensor([True, False, True]))).labels == (1, 0, 1)


NOT_LABELS = {
    "fractions": torch.tensor([0.5, 1.0, 2.0]),
    "negative": torch.tensor([0, -100, 1]),
    "NaN": torch.tensor([0.0, torch.nan, 1.0]),
    "several labels each": torch.tensor([[1, 1, 0], [0, 1, 1], [1, 1, 1]]),
    "regression": torch.tensor([[0.5, 0.5], [1.0, 0.0], [-0.5, 1.5]]),
    "NaN in a row": torch.tensor([[0.5, 0.5], [torch.nan, 1.0], [0.0, 1.0]]),
    "no columns": torch.zeros(3, 0),
    "masks": torch.zeros(3, 4, 4, dtype=torch.long),
    "another count": torch.tensor([0, 1]),
    "one number": torch.tensor(1),
    "complex": Y.to(torch.complex64),
    "texts": ["cat", "dog", "cow"],
}


@pytest.mark.parametrize("labels", NOT_LABELS.values(), ids=NOT_LABELS.keys())
def test_what_is_no_class_number_is_not_taken_for_one(labels):
    examples = examples_of((X, labels))
    assert torch.equal(examples.inputs, X)
    assert examples.labels is None


@dataclass
class Batch:
    x: torch.Tensor


REFUSED = {
    "no known key": ({"audio": X, "text": Y}, "a dict with the keys 'audio', 'text'"),
    "inputs that are no tensor": (([1, 2], Y), "a tuple of list, Tensor"),
    "one number each": (torch.zeros(3), "a tensor of shape .3,."),
    "no inputs": (torch.zeros(0, 4), "a tensor of shape .0, 4."),
    "empty list": ([], "a list of"),
    "an object": (Batch(X), "got Batch"),
    "NaN": (torch.full((2, 2), torch.nan), "hold NaN or infinity"),
    "infinity": ({"x": torch.full((2, 2), -torch.inf)}, "hold NaN or infinity"),
}


@pytest.mark.parametrize(("batch", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_batches_without_usable_inputs_are_refused_by_name(batch, message):
    with pytest.raises(LeafError, match=message):
        examples_of(batch)


def test_selected_examples_keep_what_is_known_of_them():
    names, normalization = ("a", "b", "c"), Normalization((0.5,), (0.5,))
    some = Examples(X, (2, 0, 1), (7, 8, 9), names, normalization).select([2, 0])
    assert torch.equal(some.inputs, X[[2, 0]])
    assert (some.labels, some.indices) == ((1, 2), (9, 7))
    assert (some.class_names, some.normalization) == (names, normalization)
    assert len(some) == 2


def test_examples_are_named_by_class_else_number_else_position():
    assert Examples(X, (2, 0, 1), class_names=("a", "b")).name(2) == "b"
    assert Examples(X, (2, 0, 1), class_names=("a", "b")).name(0) == "2"
    assert Examples(X, (2, 0, 1)).name(0) == "2"
    assert Examples(X, indices=(7, 8, 9)).name(1) == "#8"
    assert Examples(X).name(1) == "#1"


def folder_of_images(tmp_path, **options) -> ImageFolder:
    for name in ("bee", "ant"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(2):
            v2.functional.to_pil_image(torch.rand(3, 9, 9)).save(tmp_path / name / f"{i}.png")
    return ImageFolder(tmp_path, **options)


class Transformed(Dataset):
    """The usual wrapper that gives each part of a split its own transform."""

    def __init__(self, dataset, transform=None):
        self.dataset, self.transform = dataset, transform


WRAPPERS = {
    "itself": lambda data: data,
    "subset": lambda data: Subset(data, [0, 1]),
    "split": lambda data: random_split(data, [0.5, 0.5])[1],
    "concatenation": lambda data: ConcatDataset([data, data]),
    "wrapper": Transformed,
    "all of it": lambda data: Transformed(ConcatDataset([Subset(Subset(data, [1, 2]), [0])])),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_class_names_and_normalisation_are_found_through_wrappers(tmp_path, wrap):
    transform = v1.Compose([v1.ToTensor(), v1.Normalize((0.4,) * 3, (0.2,) * 3)])
    dataset = wrap(folder_of_images(tmp_path, transform=transform))
    assert class_names_of(dataset) == ("ant", "bee")
    assert normalization_of(dataset) == Normalization((0.4,) * 3, (0.2,) * 3)


def test_class_names_are_read_from_hugging_face_features():
    features = {"image": SimpleNamespace(), "label": SimpleNamespace(names=["cat", "dog"])}
    assert class_names_of(SimpleNamespace(features=features)) == ("cat", "dog")
    assert class_names_of(Subset(SimpleNamespace(features=features), [0])) == ("cat", "dog")
    assert class_names_of(SimpleNamespace(features={"image": SimpleNamespace()})) is None


def test_numbered_names_of_torchvision_become_numbers(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        header, labels = struct.pack(">IIII", 0x0803, 2, 28, 28), struct.pack(">II", 0x0801, 2)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(header + bytes(2 * 28 * 28))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(labels + bytes([3, 4]))
    mnist = MNIST(tmp_path)
    assert mnist.classes[3] == "3 - three"
    assert class_names_of(mnist) == tuple("0123456789")
    mnist.classes = ["0 - zero", "two - numbered"]
    assert class_names_of(mnist) == ("0 - zero", "two - numbered")


@pytest.mark.parametrize("classes", [None, [], 10, "abc"])
def test_what_is_no_list_of_names_is_not_taken_for_one(classes):
    assert class_names_of(SimpleNamespace(classes=classes)) is None


def test_data_sets_that_wrap_each_other_in_a_circle_end():
    dataset = Transformed(None)
    dataset.dataset = dataset
    assert class_names_of(dataset) is None
    assert normalization_of(dataset) is None


class Unreadable(nn.Module):
    """A module of a user's own that happens to have the name."""


Unreadable.__name__ = "Normalize"
NORMALIZE = v1.Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
FOUND = Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
PIXELS = Normalization((0.0,), (1.0,))
TRANSFORMS = {
    "alone": (NORMALIZE, FOUND),
    "compose": (v1.Compose([v1.Resize(8), v1.ToTensor(), NORMALIZE]), FOUND),
    "nested": (v1.Compose([v1.Compose([v1.ToTensor(), v1.Compose([NORMALIZE])])]), FOUND),
    "sequential": (v1.Compose([v1.ToTensor(), nn.Sequential(NORMALIZE, nn.Identity())]), FOUND),
    "v2": (
        v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [2])]),
        Normalization((0.5,), (2.0,)),
    ),
    "two of them": (v1.Compose([v1.ToTensor(), NORMALIZE, v1.Normalize([0.5], [0.5])]), None),
    "unreadable": (v1.Compose([v1.ToTensor(), Unreadable()]), None),
    "pixels": (v1.Compose([v1.RandomCrop(8), v1.ToTensor()]), PIXELS),
    "v2 pixels": (v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]), PIXELS),
    "bytes": (v1.Compose([v1.PILToTensor()]), None),
    "a function": (lambda image: image, None),
    "none": (None, None),
}


@pytest.mark.parametrize(("transform", "expected"), TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_the_normalisation_is_found_among_the_transforms(transform, expected):
    # VisionDataset has it twice: as `transform`, and in `transforms`, a StandardTransform.
    assert normalization_of(FakeData(transform=transform)) == expected
    assert normalization_of(Transformed(FakeData(), transform)) == expected
    joint = FakeData(transform=transform)
    joint.transform = None
    assert joint.transforms is not None or transform is None
    assert normalization_of(joint) == expected


def test_the_outer_transform_hides_those_of_the_data_set_that_it_wraps():
    inner = FakeData(transform=v1.Compose([v1.ToTensor(), v1.Normalize([0.5], [0.5])]))
    assert normalization_of(Transformed(inner, NORMALIZE)) == FOUND
    assert normalization_of(Transformed(inner)) == Normalization((0.5,), (0.5,))
