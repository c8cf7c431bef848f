"""Strategies under which a model cannot be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning_leaf.errors import LeafError, shown

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

SHARDING_STRATEGIES = {
    "FSDPStrategy": False,
    "DeepSpeedStrategy": False,
    "ModelParallelStrategy": True,
}
"""Strategies under which each process holds a part of the module, and whether all processes
together can evaluate the module between two training steps."""


def require_evaluation_between_steps(trainer: Trainer) -> None:
    """Check that the module can be evaluated between two training steps.

    Raises:
        LeafError: If the strategy of the trainer does not allow it, or if it shards a module in
            half precision.
    """
    sharding = _sharding_strategy(trainer)
    if sharding is None:
        return
    name = type(trainer.strategy).__name__
    if not SHARDING_STRATEGIES[sharding]:
        raise LeafError(
            "The LEAF callbacks expect a strategy under which the module can be evaluated between "
            f"two training steps; {name} does not allow it. Use strategy='ddp', or shard the "
            "module with ModelParallelStrategy (FSDP2), or remove the LEAF callbacks."
        )
    precision = str(trainer.precision)
    if precision in ("16-true", "bf16-true"):
        raise LeafError(
            "The LEAF callbacks measure a half-precision module on float32 copies of its "
            f"parameters. {name} does not allow such copies; got precision={shown(precision)}. Use "
            "precision='16-mixed' or precision='bf16-mixed'."
        )


def require_whole_classifier(trainer: Trainer) -> None:
    """Check that each process holds the whole classifier.

    Raises:
        LeafError: If the strategy of the trainer shards the classifier.
    """
    if shards_module(trainer):
        raise LeafError(
            "Measuring a data set expects each process to hold the whole classifier, because each "
            f"process measures different inputs; {type(trainer.strategy).__name__} shards the "
            "classifier. Use strategy='ddp'."
        )


def shards_module(trainer: Trainer) -> bool:
    """Return whether each process holds only a part of the module."""
    return _sharding_strategy(trainer) is not None


def _sharding_strategy(trainer: Trainer) -> str | None:
    """Return the class in the table from which the strategy inherits, by its name.

    The strategies of ``lightning.pytorch`` and of ``pytorch_lightning`` are different classes.
    """
    names = (kind.__name__ for kind in type(trainer.strategy).__mro__)
    return next((name for name in names if name in SHARDING_STRATEGIES), None)
