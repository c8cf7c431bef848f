"""Paths on the leaves and across them, taken at chosen moments of a training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lightning_leaf.callbacks.base import OnError, checked_count, checked_length
from lightning_leaf.callbacks.path_snapshot import Normalize, PathSnapshot
from lightning_leaf.callbacks.probes import Inputs, Pairs, choose_inputs, choose_pairs
from lightning_leaf.callbacks.triggers import When
from lightning_leaf.data.normalization import Bound
from lightning_leaf.paths.horizontal_path import horizontal_path, orthogonal_walk, random_directions
from lightning_leaf.paths.leaf_path import LeafPath

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import nn

    from lightning_leaf.data.batches import Examples


class HorizontalPathSnapshot(PathSnapshot):
    """Walks along the data leaf from examples of one class towards examples of another.

    At the chosen moments of a training, takes :func:`~lightning_leaf.horizontal_path` (algorithm 1
    of Grementieri & Fioresi, "Model-centric data manifold") for all pairs at once and hands the
    paths to the trainer's loggers: to TensorBoard's LEAF tab, as strips to loggers that have
    ``log_image``. The training is left exactly as it was.

    Args:
        when: One or several of: a number of optimizer steps; ``"epoch"``; ``"checkpoint"``
            (whenever one was saved); ``"trace_return"`` (the trace has risen and fallen back, see
            :class:`TraceReturn`; needs a :class:`LocalDataMatrixMonitor`); ``"fit_end"``; a
            :class:`Trigger`. Moments that fall on one step make one snapshot.
        pairs: From where to where: how many pairs of examples of different classes, spread over
            the classes, out of the validation (else training) data set; a list of pairs of
            positions in it; two tensors, sources and destinations; a pair of inputs and labels, a
            tensor of inputs or a data set, out of which 8 pairs are made.
        noise_steps: Start from noisy points: an orthogonal walk of so many steps leads away from
            each source first (250 in the paper's Figure 6).
        step_size: Length α of a step; see :func:`~lightning_leaf.horizontal_path` for defaults.
        max_steps: Steps before giving up.
        threshold: Distance that counts as reached.
        normalize: ``torchvision.transforms.Normalize``, or ``(mean, std)``, that made inputs of
            pixels. Default: the one among the data set's transforms, where there is one. Paths are
            clamped to valid pixels; without it images are shown min–max scaled.
        domain: Valid range ``(low, high)``: of pixels where ``normalize`` is given, else of inputs.
        name: Prefix of the tag; distinct for each callback of a trainer. Default
            ``"horizontal_path"``, with noise ``"noisy_start"``.
        save_files: Also write ``.npz`` files and a PNG of the strips beside the trainer's logs, see
            :func:`~lightning_leaf.display.snapshots.save_files`.
        seed: Chooses pairs and noise; global random streams are not touched.
        chunk_size: Paths that walk at once; bounds memory.
        on_error: ``"warn"``: on an error, warn once, naming the cause, and take no more snapshots
            in this fit; ``"raise"``: let it end the training.

    Attributes:
        last_snapshot: What was handed to the loggers last, on rank zero.

    Raises:
        LeafError: If an argument is out of its range.

    Example:
        >>> from lightning_leaf.callbacks import HorizontalPathSnapshot
        >>> snapshot = HorizontalPathSnapshot(when=["checkpoint", "fit_end"], pairs=8)
        >>> [trigger.reason for trigger in snapshot.triggers]
        ['checkpoint', 'fit_end']

        .. code-block:: python

            trainer = L.Trainer(callbacks=[snapshot])
            trainer.fit(model, datamodule)  # then: tensorboard --logdir lightning_logs
    """

    def __init__(
        self,
        when: When | Sequence[When] = "fit_end",
        pairs: Pairs = 8,
        *,
        noise_steps: int = 0,
        step_size: float | None = None,
        max_steps: int = 5000,
        threshold: float | None = None,
        normalize: Normalize | None = None,
        domain: tuple[Bound, Bound] | None = None,
        name: str | None = None,
        save_files: bool = False,
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        super().__init__(
            when,
            step_size=step_size,
            max_steps=max_steps,
            normalize=normalize,
            domain=domain,
            name=name or ("noisy_start" if noise_steps else "horizontal_path"),
            save_files=save_files,
            seed=seed,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        if isinstance(pairs, int):
            checked_count(pairs, "pairs")
        self.noise_steps = checked_count(noise_steps, "noise_steps", least=0)
        self.threshold = checked_length(threshold, "threshold")
        self._pairs = pairs

    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, Examples]:
        return choose_pairs(self._pairs, trainer, module, batch, seed=self.seed)

    def _walk(self, module: nn.Module, rows: list[int], max_steps: int, chunk: int) -> LeafPath:
        assert self._sources is not None
        assert self._destinations is not None
        start = self._sources.inputs
        directions = random_directions(start, self.seed)[rows] if self.noise_steps else None
        start = start[rows]
        if directions is not None:
            noise = orthogonal_walk(
                module,
                start,
                directions,
                step_size=self.step_size,
                max_steps=self.noise_steps if max_steps else 0,
                normalize=self._normalization(),
                domain=self.domain,
                rtol=self._rtol(),
                keep_points=2,
                chunk_size=chunk,
                progress=False,
            )
            start = noise.points[:, -1]
        return horizontal_path(
            module,
            start,
            self._destinations.inputs[rows],
            step_size=self.step_size,
            max_steps=max_steps,
            threshold=self.threshold,
            normalize=self._normalization(),
            domain=self.domain,
            rtol=self._rtol(),
            chunk_size=chunk,
            progress=False,
        )


class OrthogonalWalkSnapshot(PathSnapshot):
    """Walks across the data leaves, away from examples: changes that the model does not see.

    At the chosen moments of a training, takes :func:`~lightning_leaf.orthogonal_walk` (Figure 3 of
    Grementieri & Fioresi, "Model-centric data manifold") from all starts at once and hands the
    walks to the trainer's loggers. The training is left exactly as it was.

    Args:
        when: See :class:`HorizontalPathSnapshot`.
        starts: From where: how many examples of the validation (else training) data set; which
            positions in it; or a tensor of inputs, a pair of inputs and labels, a data set (8 of
            its examples).
        step_size: Length α of a step; see :func:`~lightning_leaf.orthogonal_walk` for the default.
        max_steps: Steps to take.
        normalize: See :class:`HorizontalPathSnapshot`.
        domain: See :class:`HorizontalPathSnapshot`.
        name: Prefix of the tag; distinct for each callback of a trainer.
        save_files: See :class:`HorizontalPathSnapshot`.
        seed: Chooses starts and directions; global random streams are not touched.
        chunk_size: Walks at once; bounds memory.
        on_error: See :class:`HorizontalPathSnapshot`.

    Attributes:
        last_snapshot: What was handed to the loggers last, on rank zero.

    Raises:
        LeafError: If an argument is out of its range.

    Example:
        >>> from lightning_leaf.callbacks import OrthogonalWalkSnapshot
        >>> OrthogonalWalkSnapshot(when=[0, "fit_end"], starts=4).name
        'orthogonal_walk'
    """

    def __init__(
        self,
        when: When | Sequence[When] = "fit_end",
        starts: Inputs = 8,
        *,
        step_size: float | None = None,
        max_steps: int = 1000,
        normalize: Normalize | None = None,
        domain: tuple[Bound, Bound] | None = None,
        name: str = "orthogonal_walk",
        save_files: bool = False,
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        super().__init__(
            when,
            step_size=step_size,
            max_steps=max_steps,
            normalize=normalize,
            domain=domain,
            name=name,
            save_files=save_files,
            seed=seed,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        if isinstance(starts, int):
            checked_count(starts, "starts")
        self._starts = starts

    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, None]:
        return choose_inputs(self._starts, trainer, module, batch, seed=self.seed), None

    def _walk(self, module: nn.Module, rows: list[int], max_steps: int, chunk: int) -> LeafPath:
        assert self._sources is not None
        start = self._sources.inputs
        return orthogonal_walk(
            module,
            start[rows],
            random_directions(start, self.seed)[rows],
            step_size=self.step_size,
            max_steps=max_steps,
            normalize=self._normalization(),
            domain=self.domain,
            rtol=self._rtol(),
            chunk_size=chunk,
            progress=False,
        )
