"""Image data sets are loaded from disk, or an error gives instructions."""

import builtins
import struct

import pytest
import torch

from lightning_leaf.data import image_datasets
from lightning_leaf.data.image_datasets import DataUnavailableError, load


def test_digits_are_normalized_and_no_image_is_in_both_parts():
    data = load("digits", None)
    assert (len(data.train), len(data.val), data.image_shape) == (1437, 360, (1, 8, 8))
    images = torch.stack([data.train[i][0] for i in range(1437)])
    assert images.shape[1:] == data.image_shape
    assert abs(float(images.mean())) < 0.02
    assert abs(float(images.std()) - 1) < 0.02
    assert {label for _, label in (data.val[i] for i in range(360))} == set(range(10))
    held_out = torch.stack([data.val[i][0] for i in range(360)])
    assert not (torch.cdist(images.flatten(1), held_out.flatten(1)) == 0).any()


def test_mnist_is_read_from_disk(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, count in (("train", 3), ("t10k", 2)):
        images = struct.pack(">IIII", 0x0803, count, 28, 28) + bytes([255]) * (count * 28 * 28)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(images)
        labels = struct.pack(">II", 0x0801, count) + bytes(range(count))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    data = load("mnist", tmp_path)
    assert (len(data.train), len(data.val), data.image_shape) == (3, 2, (1, 28, 28))
    image, label = data.train[2]
    assert (image.shape, label) == ((1, 28, 28), 2)
    assert torch.allclose(image, torch.tensor((1 - 0.1307) / 0.3081), atol=1e-5)


def test_a_failed_download_names_the_folder_for_the_files(tmp_path, monkeypatch):
    # No server listens on this port.
    monkeypatch.setattr(image_datasets.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataUnavailableError) as error:
        load("mnist", tmp_path)
    assert f"MNIST is not under {tmp_path} and could not be downloaded" in str(error.value)
    assert f"into {tmp_path / 'MNIST' / 'raw'}" in str(error.value)


def test_digits_without_scikit_learn_name_the_command_that_installs_it(monkeypatch):
    original = builtins.__import__

    def without_sklearn(name, *arguments, **options):
        if name.startswith("sklearn"):
            raise ModuleNotFoundError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(DataUnavailableError, match=r'pip install "lightning-leaf\[demo\]"'):
        load("digits", None)
