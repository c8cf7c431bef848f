"""The base class of the LEAF callbacks: after an error in a measurement, training continues."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from torch import Tensor
from typing_extensions import override

from lightning_leaf._arguments import one_of, whole_number
from lightning_leaf.callbacks.interrupts import ctrl_c
from lightning_leaf.callbacks.judging import judge_scores
from lightning_leaf.callbacks.lightning_callback import Callback
from lightning_leaf.callbacks.notices import Failure, Notices, inform, warn
from lightning_leaf.callbacks.shared_fit import SharedFit
from lightning_leaf.data.batches import Examples, Split
from lightning_leaf.data.evidence import Judgement
from lightning_leaf.display.snapshots import LONGEST_NAME
from lightning_leaf.errors import Interrupted, LeafError, of_signal_handler, shown
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.exits import exits_as_errors
from lightning_leaf.model.forward import Forward
from lightning_leaf.model.interruption import interrupted_when
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.model.unbuilt import ModelIsUnbuilt
from lightning_leaf.monitoring.advice import Task, advice_for, calling
from lightning_leaf.monitoring.messages import OnError, one_line
from lightning_leaf.monitoring.reading import Reading
from lightning_leaf.trainer import state as trainer_state
from lightning_leaf.trainer.processes import Processes
from lightning_leaf.trainer.strategies import require_evaluation_between_steps

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

T = TypeVar("T")

PATIENCE = 4
"""Successive steps at which the callback tries to measure a model that is not built yet."""


class LeafCallback(Callback):
    """The base class of the LEAF callbacks. A callback switches itself off after an error.

    Args:
        name: Prefix of everything that the callback logs; unique among the LEAF callbacks of a
            trainer.
        forward: How to call the module, see
            :func:`~lightning_leaf.model.forward.forward_function`.
        batch: Where inputs and labels are in a batch, see
            :func:`~lightning_leaf.data.batches.read_batch`.
        likelihood: What the scores mean; None to judge it from the targets.
        class_names: Names of all classes; None for those of the data set.
        chunk_size: Inputs per forward pass, halved each time memory runs out. None means the
            default, 32.
        on_error: ``"warn"``: after an error, warn once and stop measuring for the rest of the fit.
            ``"raise"``: raise the error, which ends the training.

    Raises:
        LeafError: If an argument is out of its range.
    """

    _inputs_name: str
    """The inputs that are measured, in messages."""
    _inputs_argument: str
    """The argument with which inputs can be passed, in messages."""

    def __init__(
        self,
        name: str,
        *,
        forward: Forward | None,
        batch: Split | None,
        likelihood: Likelihood | None,
        class_names: Sequence[str] | None,
        chunk_size: int | None,
        on_error: OnError,
    ) -> None:
        super().__init__()
        one_of(on_error, get_args(OnError), "on_error")
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or len(name) > LONGEST_NAME:
            raise LeafError(
                "name expects letters, digits and the characters '_', '.' and '-', at most "
                f"{LONGEST_NAME} of them; got {shown(name)}."
            )
        reading = Reading(forward, batch, likelihood, class_names)
        self.name = name
        self.forward = forward
        self.batch = reading.batch
        self.likelihood = likelihood
        self.class_names = reading.class_names
        self.chunk_size = None if chunk_size is None else whole_number(chunk_size, "chunk_size")
        self.on_error = on_error
        self._switched_off = False
        self._measured = False  # in this fit
        self._postponed_to = 0  # the step until which the model is not expected to be built
        self._attempts = 0  # to measure a model that was not built
        self._judgement: Judgement | None = None
        self._task = Task("choosing", "starting")
        self._origin = ""  # of the inputs, in messages
        self._fit: SharedFit | None = None  # only during a fit
        self._ctrl_c: Callable[[], bool] = _never

    @property
    @override
    def state_key(self) -> str:
        return self._generate_state_key(name=self.name)

    @override
    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self._switched_off = self._measured = False
        self._judgement = None
        self._postponed_to = self._attempts = 0
        require_evaluation_between_steps(trainer)
        others = _leaf_callbacks_of(trainer)
        names = [other.name for other in others]
        if names.count(self.name) > 1:
            raise LeafError(
                "name expects a different name for each LEAF callback of a trainer; got "
                f"{self.name!r} more than once. Pass another name to one of them, such as "
                f"name='{self.name}_2'."
            )
        self._chunks = FittingChunks(self.chunk_size)
        connected = (other._fit for other in others if other._fit is not None)
        self._fit = next(connected, None) or SharedFit(trainer)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # A checkpoint of another version may hold other keys.
        try:
            if not isinstance(state_dict, Mapping):
                raise LeafError(f"Expected a mapping; got {shown(state_dict)}.")
            self._restore(state_dict)
        except Exception as error:
            if self.on_error == "raise":
                raise
            self._forget()
            warn(
                f"{self.description} begins anew, because its state in the checkpoint cannot be "
                f"read. Cause: {one_line(error)}"
            )

    @abstractmethod
    def _restore(self, state: Mapping[Any, Any]) -> None:
        """Continue from the state of a checkpoint, which may have any form."""

    @abstractmethod
    def _forget(self) -> None:
        """Begin anew, after a state that cannot be read."""

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._fit is not None:
            self._fit.weights.record(pl_module)

    @override
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._fit is not None:
            self._fit.notices.conclude(self._fit.results > 0)

    @override
    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._disconnect()

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._disconnect()  # the trainer does not call teardown after an error

    def _disconnect(self) -> None:
        if self._fit is not None:
            self._fit.processes.close()
        self._fit = None

    @property
    def fit(self) -> SharedFit:
        """What the LEAF callbacks of the trainer share in this fit."""
        assert self._fit is not None
        return self._fit

    @property
    def processes(self) -> Processes:
        """The processes of this fit."""
        return self.fit.processes

    def active(self, trainer: Trainer, step: int) -> bool:
        """Return whether the callback may measure now, at this optimizer step."""
        training = trainer_state.is_training(trainer)
        if self._fit is not None:
            self._fit.weights.training = training
        if self._switched_off or not training or step < self._postponed_to:
            return False
        if self._fit is None:
            self._fail(
                LeafError(
                    "The trainer expects its LEAF callbacks before a fit; this one was added "
                    "during the fit. Pass it to Trainer(callbacks=[...])."
                )
            )
        return not self._switched_off

    def guarded(
        self,
        work: Callable[[], T],
        trainer: Trainer,
        module: LightningModule,
        batch: Any,
        step: int,
        *,
        catch_ctrl_c: bool,
    ) -> T | None:
        """Measure; after an error, switch the callback off, on all ranks alike.

        If the model is not built yet, nothing is measured and the callback tries again: at the
        next steps, then more and more rarely.

        Args:
            work: The measurement.
            trainer: The trainer.
            module: The module that is measured.
            batch: The current training batch, if there is one.
            step: The optimizer step.
            catch_ctrl_c: Whether Ctrl-C ends the measurement instead of the training.

        Returns:
            The result of the work; None if it did not end.
        """
        postponed = self.fit.notices.postponed
        try:
            with ctrl_c(self._report_ctrl_c) if catch_ctrl_c else nullcontext(_never) as pressed:
                self._ctrl_c = pressed
                self.fit.check_clock(trainer)
                with exits_as_errors(), interrupted_when(self._flag(trainer, pressed)):
                    result = work()
            if postponed:
                postponed.pop(self.description, None)
            return result
        except ModelIsUnbuilt as error:
            postponed[self.description] = error
            self._attempts += 1
            self._postponed_to = step + 2 ** max(0, self._attempts - PATIENCE)
        except Interrupted:
            self._switched_off = trainer_state.is_ending(trainer)
            inform(f"{self.description} was interrupted while {self._task.text}.")
        except Exception as error:
            self._fail(
                error,
                advice_for(error, self._task, module, self.forward, batch, self._inputs_argument),
            )
        finally:
            self._ctrl_c = _never  # a callback can be pickled between measurements
        return None

    def _flag(self, trainer: Trainer, pressed: Callable[[], bool]) -> Callable[[], bool]:
        return self.processes.shared_flag(lambda: trainer_state.is_ending(trainer) or pressed())

    def _report_ctrl_c(self) -> None:
        inform(
            f"{self.description} ends early after Ctrl-C, and the training continues. Press "
            "Ctrl-C again to stop the training."
        )

    def _note_origin(self, trainer: Trainer, wanted: Any) -> None:
        """Note whether inputs come from the validation or the training data, for messages."""
        from_trainer = isinstance(wanted, int) or (
            isinstance(wanted, Sequence) and not any(isinstance(each, Tensor) for each in wanted)
        )
        has_validation = from_trainer and trainer_state.has_validation_data(trainer)
        self._origin = ("validation" if has_validation else "training") if from_trainer else ""

    def _judge(self, trainer: Trainer, module: LightningModule, examples: Examples) -> None:
        """Find out what the scores mean, once for all LEAF callbacks with the same arguments."""
        if self._judgement is None:
            self._task = self._calling(
                module, examples.inputs, f"reading the scores of the {self._inputs_name}"
            )
            self._judgement = self.fit.judgement(
                (self.forward, self.batch, self.likelihood, self.class_names),
                lambda: judge_scores(
                    trainer,
                    module,
                    examples,
                    self.processes,
                    self._chunks,
                    forward=self.forward,
                    split=self.batch,
                    likelihood=self.likelihood,
                ),
            )

    def _measuring(self, module: LightningModule) -> AbstractContextManager[Classifier]:
        """Open the module for measuring, with the arguments of the callback."""
        judgement = self._judgement
        return self.processes.measuring(
            module,
            forward=self.forward,
            likelihood=self.likelihood if judgement is None else judgement.likelihood,
            classes=None if judgement is None else judgement.classes,
        )

    def _calling(self, module: LightningModule, inputs: Tensor, doing: str) -> Task:
        call = calling(module, self.forward, inputs, self._origin)
        return Task("calling", f"{doing}: {call}")

    @property
    def description(self) -> str:
        """The callback in messages."""
        return f"{type(self).__name__}(name={self.name!r})"

    def _weights_are_averaged(self, module: LightningModule) -> bool:
        """Return whether a callback has replaced the trained weights by averaged ones."""
        return self.processes.on_rank_zero(lambda: self.fit.weights.were_replaced(module))

    def _report_judgement(self) -> None:
        """Log what the scores are read as, after the first measurement that works."""
        if self._judgement is not None:
            self.fit.notices.inform_once(self._judgement.assumption)

    def _has_measured(self) -> None:
        self._measured = True
        self.fit.results += 1
        self._report_judgement()

    def _fail(self, error: Exception, advice: str = "") -> None:
        """Raise an error, or warn of it and switch the callback off, as ``on_error`` says."""
        if (of_handler := of_signal_handler(error)) is not None:
            raise of_handler
        if self.on_error == "raise":
            raise error
        self._switched_off = True
        notices = Notices() if self._fit is None else self._fit.notices
        failure = Failure.of(self.description, error, self._task.text, self._measured)
        notices.switched_off(failure, advice)


def _never() -> bool:
    return False


def _leaf_callbacks_of(trainer: Trainer) -> list[LeafCallback]:
    callbacks = trainer_state.callbacks_of(trainer)
    return [callback for callback in callbacks if isinstance(callback, LeafCallback)]
