"""A callback that takes horizontal paths during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.callbacks.pairs import Pairs, choose_pairs
from lightning_leaf.callbacks.path_snapshot import Normalize, PathSnapshot
from lightning_leaf.callbacks.triggers import When
from lightning_leaf.callbacks.walk_time import StepsAllowed
from lightning_leaf.data.batches import Split
from lightning_leaf.data.normalization import Bound
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.monitoring.messages import OnError
from lightning_leaf.paths.horizontal_path import MAX_STEPS, horizontal_path
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.orthogonal_walk import orthogonal_walk, random_directions

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lightning_leaf.data.batches import Examples
    from lightning_leaf.model.classifier import Classifier


class HorizontalPathSnapshot(PathSnapshot):
    """A callback that takes snapshots of horizontal paths during training.

    When a trigger fires, the callback computes a :func:`~lightning_leaf.horizontal_path`
    (Algorithm 1 of Grementieri & Fioresi, "Model-centric data manifold") for each pair of examples:
    a path towards an example of another class, in directions that change the prediction. All paths
    of a snapshot are computed together. TensorBoard shows the snapshots in the LEAF tab; a logger
    with a ``log_image`` method receives them as images. Training with the callback is bitwise
    identical to training without it.

    Args:
        when: One or several of: a number of optimizer steps; ``"epoch"``, the end of each epoch;
            ``"checkpoint"``, when a checkpoint was saved; ``"trace_return"``, when the trace has
            risen and returned, see :class:`TraceReturn` (needs a :class:`LocalDataMatrixMonitor`);
            ``"fit_end"``; a :class:`Trigger`. The callback takes at most one snapshot per step.
        pairs: The sources and destinations: the number of pairs of examples of different classes,
            spread over the classes, taken from the validation data set (from the training data set
            if there is no validation data set that can be indexed); a list of pairs of positions in
            that data set; a tuple of two tensors, sources and destinations; or a pair of inputs and
            labels, a tensor of inputs or a data set, of which the callback makes 8 pairs.
        noise_steps: Number of path steps of the orthogonal walk that leads away from each source
            before its path starts; the paper's Figure 6 uses 250. 0 starts at the source itself.
        step_size: Step length α in input units. Default: see
            :func:`~lightning_leaf.horizontal_path`.
        max_steps: Largest number of path steps. Under ``fast_dev_run`` it is 2.
        max_time: Seconds after which the paths of a snapshot end, with the steps taken until then.
            Default: a tenth of the time that the fit has taken so far, and at least 30 seconds.
            ``math.inf`` is no limit. Snapshots that will take longer than 10 seconds are announced,
            and Ctrl-C ends their paths and not the training.
        threshold: Distance from the destination at which a path has reached it. Default: see
            :func:`~lightning_leaf.horizontal_path`.
        normalize: The ``torchvision.transforms.Normalize``, or ``(mean, std)``, that was applied to
            the pixels. Points of a path then stay valid pixels. Default: the normalization in the
            transforms of the data set, if there is one. Without one, images are scaled from their
            smallest to their largest value.
        domain: Valid range ``(low, high)``: of pixels if ``normalize`` is given, else of inputs.
        forward: See :class:`LocalDataMatrixMonitor`.
        batch: See :class:`LocalDataMatrixMonitor`.
        likelihood: See :class:`LocalDataMatrixMonitor`.
        class_names: See :class:`LocalDataMatrixMonitor`.
        exact: Whether projections use all classes. Default: up to 160 classes; see ``rtol`` of
            :func:`~lightning_leaf.horizontal_path`.
        name: Prefix of the logged tag. It must be different for each LEAF callback of a trainer.
            Default: ``"horizontal_path"``, or ``"noisy_start"`` with ``noise_steps``.
        save_files: Whether to write ``leaf/<name>-<step>/path-<i>.npz`` and ``strips.png`` into the
            folder of the trainer's logs, or its ``default_root_dir`` without a logger. Each
            ``.npz`` file holds the curves and points of a path. Default: only if no logger of the
            trainer shows pictures. Nothing is written under ``fast_dev_run``.
        seed: Seed for choosing pairs and directions. The global random number generators are not
            changed.
        chunk_size: Number of paths computed at once; limits the memory used. It is halved each time
            memory runs out. Default: 32 on a CPU, what memory allows on a GPU.
        on_error: ``"warn"``: after an error, warn once with its cause, and take no more snapshots
            in this fit. ``"raise"``: raise the error, which ends the training.

    Attributes:
        last_snapshot: The latest snapshot, on rank zero; None before the first.

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

    _inputs_name = "pairs"
    _inputs_argument = "pairs=(sources, destinations)"

    def __init__(
        self,
        when: When | Sequence[When] = "fit_end",
        pairs: Pairs = 8,
        *,
        noise_steps: int = 0,
        step_size: float | None = None,
        max_steps: int = MAX_STEPS,
        max_time: float | None = None,
        threshold: float | None = None,
        normalize: Normalize | None = None,
        domain: tuple[Bound, Bound] | None = None,
        forward: Forward | None = None,
        batch: Split | None = None,
        likelihood: Likelihood | None = None,
        class_names: Sequence[str] | None = None,
        exact: bool | None = None,
        name: str | None = None,
        save_files: bool | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        super().__init__(
            when,
            pairs,
            step_size=step_size,
            max_steps=max_steps,
            max_time=max_time,
            normalize=normalize,
            domain=domain,
            forward=forward,
            batch=batch,
            likelihood=likelihood,
            class_names=class_names,
            exact=exact,
            name=name or ("noisy_start" if noise_steps else "horizontal_path"),
            save_files=save_files,
            seed=seed,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        if isinstance(pairs, int):
            whole_number(pairs, "pairs")
        self.noise_steps = whole_number(noise_steps, "noise_steps", at_least=0)
        self.threshold = None if threshold is None else positive_number(threshold, "threshold")

    @override
    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, Examples]:
        return choose_pairs(
            self._wanted,
            trainer,
            module,
            batch,
            seed=self.seed,
            split=self.batch,
            class_names=self.class_names,
        )

    @override
    def _longest_path(self) -> int:
        return self.noise_steps + self.max_steps

    @override
    def _compute_paths(
        self,
        classifier: Classifier,
        rows: list[int],
        chunk_size: int | None,
        steps: StepsAllowed,
    ) -> LeafPath:
        assert self._sources is not None
        assert self._destinations is not None
        start = self._sources.inputs
        directions = random_directions(start, self.seed)[rows] if self.noise_steps else None
        start = start[rows]
        if directions is not None:
            noise = orthogonal_walk(
                classifier,
                start,
                directions,
                step_size=self.step_size,
                max_steps=steps.of(self.noise_steps),
                normalize=self._normalization(),
                domain=self.domain,
                rtol=self._rtol(),
                keep_points=2,
                chunk_size=chunk_size,
                progress=False,
            )
            start = noise.points[:, -1]
        return horizontal_path(
            classifier,
            start,
            self._destinations.inputs[rows],
            step_size=self.step_size,
            max_steps=steps.of(self.max_steps),
            threshold=self.threshold,
            normalize=self._normalization(),
            domain=self.domain,
            rtol=self._rtol(),
            chunk_size=chunk_size,
            progress=steps.progress,
        )
