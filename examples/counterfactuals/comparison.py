"""Measure all ways on the same images, and ask other networks what they see at the ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from examples.counterfactuals.question import Question, questions
from examples.counterfactuals.scale import Scale
from examples.counterfactuals.training import ADVERSARIAL, KINDS, trained, unit_vectors
from examples.counterfactuals.ways import Answer, answers, share_in_tangent
from examples.paper.experiment import Found
from examples.paper.images import Images, load_images
from examples.paper.training import accuracy
from examples.paper.walked import log_probs, norm
from lightning_leaf import fisher_rao_distance

SIZES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Sizes to which all changes are scaled, as shares of the median distance of two images."""
SAME_SIZE = 0.4
"""The one of them in the tables."""
PICTURES = 3
"""Number of images drawn for each target."""


@dataclass(frozen=True)
class Comparison:
    """The networks, images and measurements at one scale.

    Attributes:
        scale: Settings.
        seeds: Number of networks that are asked, for each kind of training.
        data_dir: Folder of MNIST; None for digits.
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
    def distance(self) -> float:
        """Median Euclidean distance of two test images."""
        x = self.images.test[:1000]
        return float(norm(x[1:] - x[:-1]).median())

    def network(self, kind: str, seed: int) -> nn.Module:
        return trained(self.scale, self.images, kind, seed, self.out / "checkpoints")

    def judges(self, kind: str, seed: int) -> list[nn.Module]:
        """Return the networks of one kind from all other seeds."""
        count = max(self.seeds, 2)  # a single network has a judge too
        return [self.network(kind, other) for other in range(count) if other != seed]

    def sources(self, seed: int) -> Tensor:  # (N, ...)
        """Return test images of which all networks with this seed are rightly sure.

        Each gives the true class a probability of more than one half. All kinds of training have
        the same images.
        """
        images, generator = self.images, torch.Generator().manual_seed(seed)
        rows = torch.randperm(len(images.test), generator=generator)[: 2 * self.scale.images]
        for kind in KINDS:
            p = log_probs(self.network(kind, seed), images.test[rows]).exp()
            rows = rows[p.gather(1, images.test_labels[rows, None])[:, 0] > 0.5]
        return images.test[rows[: self.scale.images]]

    def measured(self, kind: str, seed: int) -> Found:
        """Return the measurements of one network; reuse those on disk with the same settings."""
        file = self.out / "measured" / f"{self.scale.name}-{kind}-{seed}.pt"
        settings = repr((self.scale, self.seeds))
        if file.exists():
            found: Found = torch.load(file, weights_only=True)
            if found["settings"] == settings:
                return found
        began = time.perf_counter()
        found = self.measure(kind, seed)
        found |= {"settings": settings, "seconds": time.perf_counter() - began}
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(found, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)
        return found

    def measure(self, kind: str, seed: int) -> Found:
        """Change the images in every way and towards every target."""
        network, images = self.network(kind, seed), self.images
        x = self.sources(seed)
        asked = questions(network, images, x, seed, self.scale.tolerance)
        judges = {"own": self.judges(kind, seed), "robust": self.judges(ADVERSARIAL, seed)}
        found: Found = {
            "accuracy": accuracy(network, images.test, images.test_labels),
            "x": x[:PICTURES].clone(),
        }
        for name, question in asked.items():
            found[name] = {"target": question.target[:PICTURES].clone()}
            for way, answer in answers(network, question, self.scale, images.normalization):
                numbers = self.numbers(network, question, answer)
                for judge, networks in judges.items():
                    numbers |= self.opinions(judge, networks, question, answer)
                found[name][way] = numbers | {"end": answer.end[:PICTURES].clone()}
        return found

    def numbers(self, network: nn.Module, question: Question, answer: Answer) -> Found:
        """Describe the ends of all images by numbers ``(N,)``."""
        log_p, change = log_probs(network, answer.end), answer.end - question.x
        return {
            "class": (log_p.argmax(1) == question.target).double(),
            "sure": question.is_sure(log_p).double(),
            "prediction": (
                fisher_rao_distance(log_p, question.asked) <= question.tolerance
            ).double(),
            "size": norm(change),
            "relative": norm(change) / self.distance,
            "share": share_in_tangent(network, question.x, change),
            "horizontality": answer.horizontality,
            "passes": answer.passes,
        }

    def opinions(
        self, judge: str, judges: list[nn.Module], question: Question, answer: Answer
    ) -> Found:
        """Ask other networks for the target: at the ends, and after changes of the same size."""
        agrees, probability = asked_of(judges, answer.end, question.target)
        direction = unit_vectors(answer.end - question.x)
        scaled = [
            asked_of(judges, question.x + size * self.distance * direction, question.target)[0]
            for size in SIZES
        ]
        return {
            f"{judge} agrees": agrees,
            f"{judge} probability": probability,
            f"{judge} same size": scaled[SIZES.index(SAME_SIZE)],
            f"{judge} by size": torch.stack(scaled, dim=1),  # (N, sizes)
        }


def asked_of(
    judges: list[nn.Module], x: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:  # (N,) each
    """Return the share of judges that predict the target, and their mean probability of it."""
    log_p = torch.stack([log_probs(judge, x) for judge in judges])  # (judges, N, C)
    p = log_p.exp().gather(2, target[None, :, None].expand(len(judges), -1, -1))[..., 0]
    return (log_p.argmax(2) == target).double().mean(0), p.mean(0)
