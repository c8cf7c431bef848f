"""Class names and normalization are found in the attributes of data sets and their wrappers."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, random_split
from torchvision import transforms as v1
from torchvision.datasets import MNIST, FakeData, ImageFolder
from torchvision.transforms import v2

from lightning_leaf import Normalization
from lightning_leaf.data.dataset_attributes import class_names_of, normalization_of


def folder_of_images(tmp_path, **options) -> ImageFolder:
    for name in ("bee", "ant"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(2):
            v2.functional.to_pil_image(torch.rand(3, 9, 9)).save(tmp_path / name / f"{i}.png")
    return ImageFolder(tmp_path, **options)


class Transformed(Dataset):
    """A common wrapper that gives each part of a split its own transform."""

    def __init__(self, dataset, transform=None):
        self.dataset, self.transform = dataset, transform


class Renamed(Dataset):
    """A wrapper with a name of its own for what it wraps."""

    def __init__(self, base):
        self.base = base


WRAPPERS = {
    "itself": lambda data: data,
    "subset": lambda data: Subset(data, [0, 1]),
    "split": lambda data: random_split(data, [0.5, 0.5])[1],
    "concatenation": lambda data: ConcatDataset([data, data]),
    "wrapper": Transformed,
    "wrappers with other names": lambda data: Renamed(Renamed(Subset(data, [0]))),
    "nested wrappers": lambda data: Transformed(ConcatDataset([Subset(Subset(data, [1, 2]), [0])])),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_class_names_and_normalization_are_found_through_wrappers(tmp_path, wrap):
    transform = v1.Compose([v1.ToTensor(), v1.Normalize((0.4,) * 3, (0.2,) * 3)])
    dataset = wrap(folder_of_images(tmp_path, transform=transform))
    assert class_names_of(dataset) == ("ant", "bee")
    assert normalization_of(dataset) == Normalization((0.4,) * 3, (0.2,) * 3)


def test_class_names_are_read_from_other_attributes():
    assert class_names_of(SimpleNamespace(class_to_idx={"dog": 1, "cat": 0})) == ("cat", "dog")
    assert class_names_of(SimpleNamespace(class_names=np.array(["a", "b"]))) == ("a", "b")
    assert class_names_of(SimpleNamespace(class_to_idx={"dog": 1, "cat": 3})) is None


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
def test_other_values_of_classes_are_not_class_names(classes):
    assert class_names_of(SimpleNamespace(classes=classes)) is None


def test_data_sets_that_wrap_each_other_in_a_cycle_have_no_names():
    dataset = Transformed(None)
    dataset.dataset = dataset
    assert class_names_of(dataset) is None
    assert normalization_of(dataset) is None


class Unreadable(nn.Module):
    """A user's module with the same name."""


Unreadable.__name__ = "Normalize"
NORMALIZE = v1.Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
NORMALIZATION = Normalization((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
PIXELS = Normalization((0.0,), (1.0,))
TRANSFORMS = {
    "alone": (NORMALIZE, NORMALIZATION),
    "compose": (v1.Compose([v1.Resize(8), v1.ToTensor(), NORMALIZE]), NORMALIZATION),
    "nested": (v1.Compose([v1.Compose([v1.ToTensor(), v1.Compose([NORMALIZE])])]), NORMALIZATION),
    "sequential": (
        v1.Compose([v1.ToTensor(), nn.Sequential(NORMALIZE, nn.Identity())]),
        NORMALIZATION,
    ),
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
def test_the_normalization_is_found_among_the_transforms(transform, expected):
    # A VisionDataset has its transform twice: as `transform`, and inside `transforms`.
    assert normalization_of(FakeData(transform=transform)) == expected
    assert normalization_of(Transformed(FakeData(), transform)) == expected
    joint = FakeData(transform=transform)
    joint.transform = None
    assert joint.transforms is not None or transform is None
    assert normalization_of(joint) == expected


def test_the_transform_of_a_wrapper_has_precedence():
    inner = FakeData(transform=v1.Compose([v1.ToTensor(), v1.Normalize([0.5], [0.5])]))
    assert normalization_of(Transformed(inner, NORMALIZE)) == NORMALIZATION
    assert normalization_of(Transformed(inner)) == Normalization((0.5,), (0.5,))
