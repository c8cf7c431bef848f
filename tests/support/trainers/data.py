"""Kinds of data: data sets, loaders, samplers, batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from lightning_leaf import LocalDataMatrixMonitor
from tests.support.trainers.checks import train
from tests.support.trainers.kinds import (
    Lit,
    Report,
    Training,
    images,
    kind,
    labels,
    loader,
    pairs,
    rows,
)


class Made(Dataset[Any]):
    """A data set of 24 examples that a function makes."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


class InFile(Dataset[Any]):
    """Rows in a file that is opened at the first access, as is recommended for workers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: Any = None
        path.write_bytes(rows().numpy().tobytes())

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
        self.file = None

    def __del__(self) -> None:
        self.close()

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        if self.file is None:
            self.file = self.path.open("rb")
        self.file.seek(48 * index)
        return torch.frombuffer(bytearray(self.file.read(48)), dtype=torch.float32), index % 3


class OpenFiles(L.Callback):
    """Records after each hook whether the data set of the trainer has an open file."""

    def __init__(self, data: InFile) -> None:
        self.data, self.seen = data, False

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen |= self.data.file is not None

    def on_train_end(self, *_: Any) -> None:
        self.seen |= self.data.file is not None


@kind(
    "Data",
    "data sets that open their file at the first access (zip, HDF5, LMDB, tar), with workers",
    Report(
        "zhuyu-cs/MeanFlow #28",
        "latents in an LMDB file, opened lazily in each worker",
        "other data in forked workers, or the training ended",
    ),
    Report("zhuyu-cs/MeanFlow PR #43", "ImageNet in an LMDB file", "other data in forked workers"),
    Report("pytorch/pytorch #11887", "homographies in an HDF5 file", "other data"),
    Report(
        "pytorch/pytorch #1919",
        "ModelNet40 in an HDF5 file, whose workers read labels of 255 for 40 classes",
        "other data",
    ),
    Report("pytorch/vision #689", "LSUN in LMDB files with spawned workers", "the training ended"),
    note="Examples are read without leaving anything in the data set of the trainer.",
)
def lazily_opened_file(root: Path) -> Training:
    root.mkdir(parents=True, exist_ok=True)
    data = InFile(root / "rows")
    record = OpenFiles(data)
    train(Training(Lit(), Subset(data, range(24))), root, LocalDataMatrixMonitor(4), record)
    # The loader of this training has no workers, so its own access opens the file: a control.
    assert record.seen
    data.close()
    with_workers = Training(Lit(), loader(Subset(data, range(24)), num_workers=1))
    record.seen = False
    train(with_workers, root, LocalDataMatrixMonitor(4, on_error="raise"), record)
    assert not record.seen
    return Training(Lit(), data, inputs=rows())


class Streamed(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(pairs())


@kind(
    "Data",
    "an `IterableDataset`",
    Report("webdataset/webdataset #66", "webdataset with infinite loaders", "right value"),
    note="The inputs are those of the first training batch.",
)
def iterable_data_set(root: Path) -> Training:
    return Training(Lit(), loader(Streamed()), inputs=rows(), positions=None)


class Pipeline:
    """A loader that is no `DataLoader`: an object with an iterator, like those of DALI."""

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[Any]:
        return iter(DataLoader(pairs(), 4))


@kind(
    "Data",
    "a loader that is not a `DataLoader` (DALI, FFCV)",
    Report("Lightning-AI/pytorch-lightning #513", "an image pipeline of DALI", "right value"),
    Report("vturrisi/solo-learn #224", "self-supervised training with DALI", "right value"),
    note="The inputs are those of the first training batch.",
)
def other_loaders(root: Path) -> Training:
    return Training(Lit(), Pipeline(), inputs=rows(), positions=None)


class Semi(Lit):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch["known"][0]), batch["known"][1])

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return {name: (2 * parts[0], *parts[1:]) for name, parts in batch.items()}


@kind("Data", "a `CombinedLoader`, also with batch hooks that take its dict")
def combined_loader(root: Path) -> Training:
    both = CombinedLoader(
        {"unknown": loader(TensorDataset(rows())), "known": loader(pairs())}, "max_size_cycle"
    )
    return Training(Semi(), both, inputs=2 * rows())


class Validated(Lit):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass


@kind(
    "Data",
    "a sampler that leaves out a part of the data set (`SubsetRandomSampler`)",
    Report(
        "AnnaAraslanova/FBNet #2",
        "training and validation data as two samplers of one data set",
        "training examples shown as validation examples",
    ),
    Report("dreamquark-ai/tabnet #499", "a sampler of the validation loader", "as above"),
    note="Only the examples of the sampler are chosen.",
)
def sampler(root: Path) -> None:
    held_out = [3, 7, 11, 15, 19, 23, 4, 8]
    validation = loader(pairs(), sampler=SubsetRandomSampler(held_out))
    monitor = LocalDataMatrixMonitor(8, on_error="raise")
    chosen: list[Tensor] = []

    class Look(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            chosen.append(monitor._probe.inputs)  # type: ignore[union-attr]

    training = Training(Validated(), pairs(), validation=validation)
    train(training, root, monitor, Look())
    (probe,) = chosen
    everything = rows()
    found = {int((everything == x).all(1).nonzero()) for x in probe}
    assert found == set(held_out)


class Batched(Made):
    def __getitems__(self, positions: list[int]) -> Any:
        return rows()[positions], labels()[positions]


@kind("Data", "data sets that make whole batches (`__getitems__`), as tensordict does")
def getitems(root: Path) -> Training:
    data = Batched(lambda index: (rows()[index], index % 3))
    return Training(Lit(), loader(data, collate_fn=lambda batch: batch), inputs=rows())


class Keyed(Lit):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch["pixel_values"]), batch["labels"])


@kind(
    "Data",
    "dicts with file names beside pixels, and names of classes beside their numbers",
    Report(
        "huggingface/datasets #6069",
        "an image folder with the columns `image` and `pixel_values`",
        "switched off: LeafError",
    ),
)
def names_beside_numbers(root: Path) -> Training:
    def example(index: int) -> Any:
        return {
            "image": f"{index}.png",
            "pixel_values": rows()[index],
            "label": f"class {index % 3}",
            "labels": index % 3,
        }

    return Training(Keyed(), Made(example), inputs=rows())


class Views(Lit):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        views, targets, _ = batch
        return cross_entropy(self(views[0]), targets) + cross_entropy(self(views[1]), targets)


@kind(
    "Data",
    "several views of each input, as in self-supervised learning",
    Report(
        "lightly-ai/lightly PR #1162",
        "SimCLR: batches of two views, targets and file names",
        "switched off: LeafError",
    ),
    note="The first view is measured.",
)
def several_views(root: Path) -> Training:
    x = rows()
    data = Made(lambda index: ((x[index], x[index] + 0.1), index % 3, f"{index}.png"))
    return Training(Views(), data, inputs=x)


class Medical(Lit):
    def prepare_batch(self, batch: Any) -> Any:
        return batch["scan"], batch["study"]["diagnosis"]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = self.prepare_batch(batch)
        return cross_entropy(self(x), y)


@kind(
    "Data",
    "dicts with keys of your own, also nested",
    Report(
        "Project-MONAI/MONAI #3035",
        "a Lightning module whose `prepare_batch` takes the batch apart",
        "switched off with the right advice",
    ),
    write='batch=("scan", "study.diagnosis")',
    happens="a single tensor of inputs is found; labels with unusual keys are not",
)
def own_keys(root: Path) -> Training:
    data = Made(lambda index: {"scan": rows()[index], "study": {"diagnosis": index % 3}})
    return Training(Medical(), data, inputs=rows())


def optical(batch: Any) -> Any:
    return batch["optical"], batch["cover"]


class Satellite(Lit):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch["optical"]), batch["cover"])


@kind(
    "Data",
    "dicts with several tensors that can be inputs; `batch=` by name, as in a YAML file",
    write='batch="tests.support.trainers.data.optical"',
    refused="'optical' can be inputs",
    note='A key, `batch="optical"`, is enough if no labels are needed.',
)
def batch_by_name(root: Path) -> Training:
    x, other = rows(), rows(seed=1)
    data = Made(lambda index: {"radar": other[index], "optical": x[index], "cover": index % 3})
    return Training(Satellite(), data, inputs=x)


@kind("Data", "images of different sizes, in batches of one")
def different_sizes(root: Path) -> Training:
    generator = torch.Generator().manual_seed(0)
    found = [torch.rand(1, 8 + index % 3, 9, generator=generator) for index in range(24)]
    net = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 3))
    data = loader(Made(lambda index: (found[index], index % 3)), batch_size=1)
    return Training(Lit(net), data, inputs=found, positions=(0, 3, 6, 9))


def without_some(items: Any) -> Any:
    """Leave out damaged examples and sort the others, as many collate functions do."""
    kept = [item for item in items if item[1] != 1]
    kept.sort(key=lambda item: -float(item[0].sum()))
    x, y = zip(*kept, strict=True)
    return torch.stack(x), torch.stack(y)


@kind(
    "Data",
    "collate functions that leave out, repeat or sort examples",
    note="Labels and positions are those of the inputs shown.",
)
def collate_that_sorts(root: Path) -> None:
    from lightning_leaf import HorizontalPathSnapshot

    data = loader(pairs(), collate_fn=without_some, batch_size=6)
    path = HorizontalPathSnapshot("fit_end", pairs=3, max_steps=2, on_error="raise")
    train(Training(Lit(), data), root, path)
    assert path.last_snapshot is not None
    x = rows()
    for record in path.last_snapshot.paths:
        (found,) = (x == torch.from_numpy(record.frames[0].copy()).reshape(-1)).all(1).nonzero()
        assert record.source == str(int(found) % 3)
        assert record.source_index in (None, int(found))


@kind(
    "Data",
    "normalized images, volumes and videos",
    write="normalize=(mean, std)",
    happens="`Normalize` is found among the transforms of the data set",
    note="Channels are at torchvision's axis; `Normalization(mean, std, axis=-1)` for others.",
)
def normalized(root: Path) -> Training:
    from torchvision.transforms.functional import normalize

    from lightning_leaf import Normalization

    mean, std = (0.2, 0.4, 0.6), (0.5, 0.6, 0.7)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(24, 3, 3, 4, 4, generator=generator)  # three frames of three channels
    inputs = normalize(pixels, mean, std)
    assert torch.allclose(Normalization(mean, std).from_pixels(pixels), inputs)
    assert not torch.allclose(Normalization(mean, std, axis=1).from_pixels(pixels), inputs)
    last = Normalization(mean, std, axis=-1).from_pixels(pixels.movedim(2, -1))
    assert torch.allclose(last.movedim(-1, 2), inputs)
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 3))
    return Training(Lit(net), pairs(inputs), names={"mean": mean, "std": std})


class Scaling(Lit):
    def forward(self, x: Tensor) -> Tensor:
        return self.net((x.float() / 255 - 0.5).flatten(1))  # type: ignore[no-any-return]


@kind("Data", "images in bytes, which `forward` or a batch hook scales")
def bytes_into_forward(root: Path) -> Training:
    x = (images() * 255).byte()
    return Training(
        Scaling(nn.Linear(64, 3)),
        pairs(x),
        lambda module, x: module.net((x / 255 - 0.5).flatten(1)),
        inputs=x.float(),
    )


@kind(
    "Data",
    "volumes `(C, D, H, W)` and videos `(T, C, H, W)` or `(C, T, H, W)`",
    Report(
        "jacobgil/pytorch-grad-cam #497",
        "magnetic resonance images of 30 slices",
        "right value; not shown as images",
    ),
    Report("Project-MONAI/MONAI #2354", "volumes with labels", "as above"),
    Report("jacobgil/pytorch-grad-cam #345", "videos", "as above"),
    Report("frgfm/torch-cam #44", "volumes of 79 × 190 × 158 voxels", "as above"),
)
def volumes(root: Path) -> Training:
    x = torch.rand(24, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    net = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    return Training(Lit(net), pairs(x))


class Named(TensorDataset):
    classes = ("first", "second", "third")


@kind(
    "Data",
    "names of classes",
    write='class_names=["a", "b", "c"]',
    happens="names of the data set (`classes`) or of the module (`id2label`) are used",
)
def class_names(root: Path) -> None:
    from lightning_leaf import HorizontalPathSnapshot

    for names, expected in ((None, "first"), (["a", "b", "c"], "a")):
        path = HorizontalPathSnapshot(
            "fit_end", pairs=[[0, 1]], max_steps=1, class_names=names, on_error="raise"
        )
        train(Training(Lit(), Named(rows(), labels())), root, path)
        assert path.last_snapshot is not None
        assert path.last_snapshot.paths[0].source == expected


@kind(
    "Data",
    "random transforms and shuffled loaders",
    Report(
        "Lightning-AI/pytorch-lightning #6988",
        "any training: sanity steps changed the order of the training data",
        "weights bitwise identical",
    ),
    note="Random streams are restored: the training is bitwise the same.",
)
def random_streams(root: Path) -> None:
    ends = []
    for callbacks in ([], [LocalDataMatrixMonitor(4, on_error="raise")]):
        L.seed_everything(0, verbose=False)
        module = Validated()
        data = Made(lambda index: (rows()[index] + 0.1 * torch.randn(12), index % 3))
        training = Training(
            module, loader(data, shuffle=True), validation=loader(data), options={"max_steps": 4}
        )
        train(training, root, *callbacks)
        ends.append(module.net.weight.detach().clone())
    assert torch.equal(*ends)
