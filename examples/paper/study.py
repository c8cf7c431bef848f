"""Resources shared by all experiments: images, trained networks, pairs and measurements."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from examples.paper.experiment import Experiment, Found
from examples.paper.images import Images, load_images
from examples.paper.networks import NETWORKS, vgg
from examples.paper.scale import Scale
from examples.paper.training import Training


@dataclass(frozen=True)
class Study:
    """The shared resources at one scale.

    Attributes:
        scale: Settings of the experiments.
        seeds: Number of trainings.
        data_dir: Folder of MNIST and CIFAR-10; None if they are not needed.
        out: Folder of checkpoints, measurements, results and figures.
    """

    scale: Scale
    seeds: int
    data_dir: Path | None
    out: Path

    @cached_property
    def images(self) -> Images:
        return load_images(self.scale.data, self.data_dir)

    @cached_property
    def colour_images(self) -> Images:
        return load_images(self.scale.colour, self.data_dir)

    def network(self, seed: int, step: int | None = None, kind: str = "cnn") -> nn.Module:
        """Return a trained network: by default the paper's, at the step of its experiments."""
        scale = self.scale
        keep = scale.measured if kind == "cnn" else scale.leaf_checkpoints
        training = Training(
            make=lambda: NETWORKS[kind](self.images.shape),
            images=self.images,
            seed=seed,
            learning_rate=scale.learning_rate,
            keep=keep,
            folder=self.out / "checkpoints" / f"{scale.name}-{scale.data}-{kind}-{seed}",
        )
        return training.at(scale.paper_step if step is None else step)

    def colour_network(self, seed: int) -> nn.Module:
        """Return the trained VGG-11 with batch-norm."""
        scale = self.scale
        training = Training(
            make=lambda: vgg(self.colour_images.shape, scale.colour_width),
            images=self.colour_images,
            seed=seed,
            learning_rate=0.05,
            keep=tuple(range(0, scale.colour_steps, 500)),
            folder=self.out / "checkpoints" / f"{scale.name}-{scale.colour}-vgg-{seed}",
        )
        return training.at(scale.colour_steps)

    def test_images(self, seed: int, count: int, use: int = 0) -> Tensor:  # (count, ...)
        """Return random test images, different for every seed and use."""
        return self.images.test[self.test_rows(seed, count, use)]

    def test_rows(self, seed: int, count: int, use: int = 0) -> Tensor:  # (count,)
        generator = torch.Generator().manual_seed(100 * seed + use)
        return torch.randperm(len(self.images.test), generator=generator)[:count]

    def pairs(self, seed: int, count: int) -> tuple[Tensor, Tensor]:  # (count, ...) each
        """Return random pairs of test images."""
        both = self.test_images(seed, 2 * count)
        return both[:count], both[count:]

    def measured(self, experiment: Experiment, seed: int) -> Found:
        """Return the measurements of one seed; reuse those on disk if the scale is the same."""
        file = self.out / "measured" / f"{self.scale.name}-{experiment.name}-{seed}.pt"
        scale = repr(self.scale)
        if file.exists():
            found: Found = torch.load(file, weights_only=True)
            if found["scale"] == scale:
                return found
        began = time.perf_counter()
        found = experiment.measure(self, seed)
        found |= {"scale": scale, "seconds": time.perf_counter() - began}
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        torch.save(found, unfinished)
        unfinished.replace(file)
        return found
