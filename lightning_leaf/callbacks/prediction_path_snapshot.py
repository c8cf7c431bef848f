"""A callback that takes prediction paths during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Dataset
from typing_extensions import override

from lightning_leaf._arguments import positive_number, whole_number
from lightning_leaf.callbacks.notices import warn
from lightning_leaf.callbacks.path_snapshot import Normalize, PathSnapshot
from lightning_leaf.callbacks.prediction_targets import (
    CANDIDATES_PER_EXAMPLE,
    are_predicted,
    class_number,
    others,
    paths_per_example,
    runners_up,
    spread,
)
from lightning_leaf.callbacks.probes import DEFAULT_COUNT, Inputs, choose_inputs
from lightning_leaf.callbacks.triggers import When
from lightning_leaf.callbacks.user_inputs import as_number
from lightning_leaf.callbacks.walk_time import StepsAllowed
from lightning_leaf.data.batches import Examples, Split, class_name
from lightning_leaf.data.normalization import Bound
from lightning_leaf.display.second_opinion import Judge, SecondOpinion, second_opinions
from lightning_leaf.errors import Interrupted, LeafError, of_signal_handler, shown, type_name
from lightning_leaf.model.exits import exits_as_errors
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.scores import scores_of
from lightning_leaf.monitoring.messages import OnError, one_line
from lightning_leaf.paths.leaf_path import LeafPath
from lightning_leaf.paths.prediction_path import MAX_STEPS, prediction_path
from lightning_leaf.paths.single_path import SinglePath

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor

    from lightning_leaf.model.classifier import Classifier

COUNT_FOR_EACH = 3
"""Default number of examples with ``to="each"``."""


class PredictionPathSnapshot(PathSnapshot):
    """A callback that takes snapshots of prediction paths during training.

    When a trigger fires, the callback computes a :func:`~lightning_leaf.prediction_path` from each
    example: the shortest change along the leaf that makes the model predict another class, as sure
    of it as it was of its own. For independent labels, one label changes from p to 1 − p. All paths
    of a snapshot are computed together. TensorBoard shows the snapshots in the LEAF tab; a logger
    with a ``log_image`` method receives them as images. Training with the callback is bitwise
    identical to training without it.

    Args:
        when: See :class:`HorizontalPathSnapshot`.
        examples: The inputs at which the paths start: their number, taken from as many classes of
            the validation data set as possible (of the training data set if there is no validation
            data set that can be indexed); a list of positions in that data set; a tensor of
            inputs; a pair of inputs and labels; or a data set. Default: 8, and 3 with
            ``to="each"``.
        to: The class to which the paths lead:

            * ``"runner_up"``: the second most probable class of each example; the label whose
              probability is nearest to ½;
            * the number or the name of a class or label. Examples for which it is predicted already
              have no path, and are chosen only if there are too few others;
            * ``"each"``: one path from each example to every other class, or to the change of every
              label. If these are more than 9, to the 9 most probable other classes, or to the 9
              labels whose probabilities are nearest to ½.

            Classes are ordered by the prediction of the current weights.
        step_size: Largest Fisher–Rao length α of a step. Default: see
            :func:`~lightning_leaf.prediction_path`.
        max_steps: Largest number of path steps. Under ``fast_dev_run`` it is 2.
        max_time: See :class:`HorizontalPathSnapshot`.
        tolerance: Fisher–Rao distance from the target at which a path has reached it. Default: see
            :func:`~lightning_leaf.prediction_path`.
        judge: Another trained classifier of the same classes, a module or a function from inputs
            to scores. Its prediction for the last point of each path is stored with the path: it
            shows whether the change looks like its class to a network that was not asked for it. A
            module is evaluated in evaluation mode, on its own device, and left as it was; a
            function receives the inputs on the device of the trained module. After an error the
            callback warns once, and takes its snapshots without the judge.
        normalize: See :class:`HorizontalPathSnapshot`.
        domain: See :class:`HorizontalPathSnapshot`.
        forward: See :class:`LocalDataMatrixMonitor`.
        batch: See :class:`LocalDataMatrixMonitor`.
        likelihood: See :class:`LocalDataMatrixMonitor`.
        class_names: See :class:`LocalDataMatrixMonitor`.
        exact: See :class:`HorizontalPathSnapshot`.
        name: Prefix of the logged tag. It must be different for each LEAF callback of a trainer.
            Default: ``"prediction_path"``, or ``"each_class"`` with ``to="each"``.
        save_files: See :class:`HorizontalPathSnapshot`.
        seed: Seed for choosing examples. The global random number generators are not changed.
        chunk_size: Number of paths computed at once; limits the memory used. It is halved each time
            memory runs out. Default: 32 on a CPU, what memory allows on a GPU.
        on_error: See :class:`HorizontalPathSnapshot`.

    Attributes:
        last_snapshot: The latest snapshot, on rank zero; None before the first.

    Raises:
        LeafError: If an argument is out of its range.

    Example:
        >>> from lightning_leaf.callbacks import PredictionPathSnapshot
        >>> PredictionPathSnapshot(when=["epoch", "fit_end"], examples=4, to=3).name
        'prediction_path'
        >>> PredictionPathSnapshot(to="each").name
        'each_class'
    """

    _inputs_name = "examples"
    _inputs_argument = "examples=inputs"

    def __init__(
        self,
        when: When | Sequence[When] = "fit_end",
        examples: Inputs | None = None,
        *,
        to: int | str = "runner_up",
        step_size: float | None = None,
        max_steps: int = MAX_STEPS,
        max_time: float | None = None,
        tolerance: float | None = None,
        judge: Judge | None = None,
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
        number = as_number(to)
        if number is None and not isinstance(to, str):
            raise LeafError(
                "to expects 'runner_up', 'each', or the number or the name of a class; got "
                f"{shown(to)}."
            )
        super().__init__(
            when,
            examples,
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
            name=name or ("each_class" if to == "each" else "prediction_path"),
            save_files=save_files,
            seed=seed,
            chunk_size=chunk_size,
            on_error=on_error,
        )
        if isinstance(examples, int):
            whole_number(examples, "examples")
        if judge is not None and not callable(judge):
            raise LeafError(
                "judge expects a trained classifier: a module, or a function from inputs to "
                f"scores; got {shown(judge)}."
            )
        self.to = to if number is None else whole_number(number, "to", at_least=0)
        self.tolerance = None if tolerance is None else positive_number(tolerance, "tolerance")
        self.judge = judge
        self._judge_is_off = False

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._judge_is_off = False

    @property
    def _leads_to_one_class(self) -> bool:
        return self.to not in ("runner_up", "each")

    @override
    def _choose(
        self, trainer: Trainer, module: LightningModule, batch: Any
    ) -> tuple[Examples, None]:
        default = COUNT_FOR_EACH if self.to == "each" else DEFAULT_COUNT
        wanted = default if self._wanted is None else self._wanted
        number = as_number(wanted)
        count = default if number is None else number
        candidates = choose_inputs(
            wanted if number is None else CANDIDATES_PER_EXAMPLE * number,
            trainer,
            module,
            batch,
            seed=self.seed,
            default_count=CANDIDATES_PER_EXAMPLE * default,
            split=self.batch,
            class_names=self.class_names,
        )
        if number is None and not isinstance(wanted, Dataset):
            return candidates, None
        target = None
        if self._leads_to_one_class:
            target = class_number(self.to, candidates.class_names, None)
        return spread(candidates, count, without=target), None

    @override
    def _starts(self) -> Examples:
        examples = super()._starts()
        repeats = self._paths_per_example()
        return examples.select([row for row in range(len(examples)) for _ in range(repeats)])

    def _paths_per_example(self) -> int:
        known = self._judgement
        # Where no score is finite, the number of classes is unknown, and all paths are non-finite.
        if self.to != "each" or known is None:
            return 1
        return paths_per_example(known.classes, known.likelihood)

    def _targets(self, log_probs: Tensor, rows: list[int], likelihood: Likelihood) -> list[int]:
        """Return the class to which the path from the start in each row leads; −1 for no path."""
        if self.to == "runner_up":
            return runners_up(log_probs, likelihood)
        if self.to == "each":
            repeats, found = self._paths_per_example(), others(log_probs, likelihood)
            return [labels[row % repeats] for row, labels in zip(rows, found, strict=True)]
        target = self._target(log_probs.shape[1])
        return [-1 if done else target for done in are_predicted(log_probs, target, likelihood)]

    def _target(self, classes: int | None) -> int:
        return class_number(self.to, super()._starts().class_names, classes)

    @override
    def _compute_paths(
        self,
        classifier: Classifier,
        rows: list[int],
        chunk_size: int | None,
        steps: StepsAllowed,
    ) -> Sequence[SinglePath | None]:
        start = self._starts().inputs[rows]
        log_probs = classifier.log_probs(scores_of(classifier, start, chunk_size))
        targets = torch.tensor(self._targets(log_probs, rows, classifier.likelihood))
        has_path = targets >= 0
        if not bool(has_path.any()):
            return [None] * len(rows)
        paths = iter(
            prediction_path(
                classifier,
                start[has_path],
                targets[has_path],
                step_size=self.step_size,
                max_steps=steps.of(self.max_steps),
                tolerance=self.tolerance,
                normalize=self._normalization(),
                domain=self.domain,
                rtol=self._rtol(),
                chunk_size=chunk_size,
                progress=steps.progress,
            )
        )
        return [next(paths) if has else None for has in has_path.tolist()]

    @override
    def _report_missing(self, missing: int, count: int, step: int) -> None:
        name = class_name(super()._starts().class_names, self._target(None))
        if missing < count:
            self.fit.notices.inform_once(
                f"{self.description} at step {step}: {missing} of {count} examples have no path, "
                f"because {shown(name)} is predicted for them already.",
                about=f"missing paths of {self.description}",
            )
        else:
            self.fit.notices.inform_once(
                f"{self.description} takes no snapshot at step {step}, because {shown(name)} is "
                f"predicted for all {count} examples already. Pass other examples=, or "
                "to='runner_up'.",
                about=f"missing snapshot of {self.description}",
            )

    @override
    def _second_opinions(
        self, module: LightningModule, path: LeafPath
    ) -> list[SecondOpinion] | None:
        if self.judge is None or self._judge_is_off:
            return None
        names = super()._starts().class_names
        try:
            with exits_as_errors():
                return second_opinions(self.judge, path, names, module.device, self.chunk_size)
        except Interrupted:
            raise
        except Exception as error:
            if self.on_error == "raise" or of_signal_handler(error) is not None:
                raise
            self._judge_is_off = True
            warn(
                f"{self.description} takes its snapshots without the judge for the rest of this "
                f"fit. Cause: {type_name(error)}: {one_line(error)} (Pass on_error='raise' to get "
                "the traceback.)"
            )
            return None
