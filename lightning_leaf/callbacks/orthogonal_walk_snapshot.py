"""A callback that takes orthogonal walks during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from lightning_leaf._arguments import whole_number
from lightning_leaf.callbacks.path_snapshot import Normalize, PathSnapshot
from lightning_leaf.callbacks.probes import Inputs, choose_inputs
from lightning_leaf.callbacks.triggers import When
from lightning_leaf.callbacks.walk_time import StepsAllowed
from lightning_leaf.data.batches import Split
from lightning_leaf.data.normalization import Bound
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.monitoring.messages import OnError
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.orthogonal_walk import MAX_STEPS, orthogonal_walk, random_directions

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lightning_leaf.data.batches import Examples
    from lightning_leaf.model.classifier import Classifier


class OrthogonalWalkSnapshot(PathSnapshot):
    """A callback that takes snapshots of orthogonal walks during training.

    When a trigger fires, the callback computes an :func:`~lightning_leaf.orthogonal_walk` (Figure 3
    of Grementieri & Fioresi, "Model-centric data manifold") for each start: a walk across the
    leaves, along directions to which the prediction is insensitive. All walks of a snapshot are
    computed together. TensorBoard shows the snapshots in the LEAF tab; a logger with a
    ``log_image`` method receives them as images. Training with the callback is bitwise identical to
    training without it.

    Args:
        when: See :class:`HorizontalPathSnapshot`.
        starts: The inputs at which the walks start: their number, taken from the validation data
            set (from the training data set if there is no validation data set that can be indexed);
            a list of positions in that data set; a tensor of inputs; a pair of inputs and labels;
            or a data set, of which the callback takes 8 examples.
        step_size: Step length α in input units. Default: see
            :func:`~lightning_leaf.orthogonal_walk`.
        max_steps: Largest number of path steps. Under ``fast_dev_run`` it is 2.
        max_time: See :class:`HorizontalPathSnapshot`.
        normalize: See :class:`HorizontalPathSnapshot`.
        domain: See :class:`HorizontalPathSnapshot`.
        forward: See :class:`LocalDataMatrixMonitor`.
        batch: See :class:`LocalDataMatrixMonitor`.
        likelihood: See :class:`LocalDataMatrixMonitor`.
        class_names: See :class:`LocalDataMatrixMonitor`.
        exact: See :class:`HorizontalPathSnapshot`.
        name: Prefix of the logged tag. It must be different for each LEAF callback of a trainer.
        save_files: See :class:`HorizontalPathSnapshot`.
        seed: Seed for choosing starts and directions. The global random number generators are not
            changed.
        chunk_size: Number of walks computed at once; limits the memory used. It is halved each time
            memory runs out. Default: 32 on a CPU, what memory allows on a GPU.
        on_error: See :class:`HorizontalPathSnapshot`.

    Attributes:
        last_snapshot: The latest snapshot, on rank zero; None before the first.

    Raises:
        LeafError: If an argument is out of its range.

    Example:
        >>> from lightning_leaf.callbacks import OrthogonalWalkSnapshot
        >>> OrthogonalWalkSnapshot(when=[0, "fit_end"], starts=4).name
        'orthogonal_walk'
    """

    _inputs_name = "starts"
    _inputs_argument = "starts=inputs"

    def __init__(
        self,
        when: When | Sequence[When] = "fit_end",
        starts: Inputs = 8,
        *,
        step_size: float | None = None,
        max_steps: int = MAX_STEPS,
        max_time: float | None = None,
        normalize: Normalize | None = None,
        domain: tuple[Bound, Bound] | None = None,
        forward: Forward | None = None,
        batch: Split | None = None,
        likelihood: Likelihood | None = None,
        class_names: Sequence[str] | None = None,
        exact: bool | None = None,
        name: str = "orthogonal_walk",
        save_files: bool | None = None,
        seed: int = 0,
        chunk_size: int | None = None,
        on_error: OnError = "warn",
    ) -> None:
        super().__init__(
            when,
            starts,
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
            name=name,
            save_files=save_files,
            seed=seed,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        if isinstance(starts, int):
            whole_number(starts, "starts")

    @override
    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, None]:
        starts = choose_inputs(
            self._wanted,
            trainer,
            module,
            batch,
            seed=self.seed,
            split=self.batch,
            class_names=self.class_names,
        )
        return starts, None

    @override
    def _compute_paths(
        self,
        classifier: Classifier,
        rows: list[int],
        chunk_size: int | None,
        steps: StepsAllowed,
    ) -> LeafPath:
        assert self._sources is not None
        start = self._sources.inputs
        return orthogonal_walk(
            classifier,
            start[rows],
            random_directions(start, self.seed)[rows],
            step_size=self.step_size,
            max_steps=steps.of(self.max_steps),
            normalize=self._normalization(),
            domain=self.domain,
            rtol=self._rtol(),
            chunk_size=chunk_size,
            progress=steps.progress,
        )
