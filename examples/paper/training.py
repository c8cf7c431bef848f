"""Training with checkpoints on disk, shared by all experiments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from examples.paper.images import Images

BATCH = 60


@dataclass(frozen=True)
class Training:
    """Training by SGD without momentum or dropout; its state is the weights and the step.

    Attributes:
        make: Function that builds the untrained network.
        images: Training images.
        seed: Seed of weights and batches.
        learning_rate: Learning rate of SGD.
        keep: Steps at which a checkpoint is written, in addition to the requested step.
        folder: Folder of the checkpoints.
    """

    make: Callable[[], nn.Module]
    images: Images
    seed: int
    learning_rate: float
    keep: tuple[int, ...]
    folder: Path

    def at(self, step: int) -> nn.Module:
        """Return the network after ``step`` steps, in evaluation mode, with fixed weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = self.make()
        if not self._file(step).exists():
            self._train(network, step)
        network.load_state_dict(torch.load(self._file(step), weights_only=True))
        return network.eval().requires_grad_(False)

    def _file(self, step: int) -> Path:
        return self.folder / f"{step:06}.pt"

    def _train(self, network: nn.Module, last: int) -> None:
        """Resume from the last checkpoint before ``last``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = [int(file.stem) for file in self.folder.glob("*.pt")]
        first = max((step for step in found if step < last), default=0)
        if first:
            network.load_state_dict(torch.load(self._file(first), weights_only=True))
        optimizer = torch.optim.SGD(network.parameters(), lr=self.learning_rate)
        network.train()
        steps = range(first, last + 1)
        for step in tqdm(steps, desc=f"training {self.folder.name}", disable=None, leave=False):
            if step in self.keep or step == last:
                self._save(network, step)
            if step < last:
                rows = self._batch(step)
                scores = network(self.images.train[rows])
                loss = nn.functional.cross_entropy(scores, self.images.train_labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def _batch(self, step: int) -> Tensor:  # (60,)
        per_epoch = len(self.images.train) // BATCH
        epoch, position = divmod(step, per_epoch)
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        order = torch.randperm(len(self.images.train), generator=generator)
        return order[position * BATCH : (position + 1) * BATCH]

    def _save(self, network: nn.Module, step: int) -> None:
        unfinished = self._file(step).with_suffix(".part")
        torch.save(network.state_dict(), unfinished)
        unfinished.replace(self._file(step))


@torch.no_grad()
def accuracy(network: nn.Module, x: Tensor, labels: Tensor) -> float:
    """Return the share of images that are classified correctly."""
    right = [network(part).argmax(1) for part in torch.split(x, 500)]
    return float((torch.cat(right) == labels).double().mean())
