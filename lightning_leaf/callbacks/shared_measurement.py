"""Measurements of a probe that the processes of a training share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from lightning_leaf.geometry.rank_kinds import RankKind
from lightning_leaf.model.classifier import Classifier
from lightning_leaf.model.memory import FittingChunks
from lightning_leaf.monitoring.interval import estimated_interval
from lightning_leaf.monitoring.measurements import Measurement, measure
from lightning_leaf.trainer.processes import Processes


def measure_share(
    classifier: Classifier,
    inputs: Tensor,  # (P, ...)
    processes: Processes,
    chunks: FittingChunks,
    *,
    ranks: Sequence[RankKind],
    exact: bool | None,
    seed: int,
) -> list[Measurement]:
    """Return one measurement for each input; each process computes its share of them.

    All processes must call this function.

    Args:
        classifier: The open classifier.
        inputs: The inputs of the probe, the same in each process.
        processes: The processes of the training.
        chunks: Inputs per forward pass.
        ranks: Kinds of effective ranks.
        exact: See :func:`~lightning_leaf.local_geometry`.
        seed: Seed of the random draws of estimates.
    """
    share = inputs[processes.share(len(inputs))]
    # Estimates may need different numbers of passes in different processes. Processes that share a
    # module must make the same passes, so they take all classes.
    exact = True if processes.module_is_sharded else exact
    shares = processes.all_gather(
        lambda: chunks.run(
            lambda size: measure(
                classifier, share, ranks=ranks, chunk_size=size, exact=exact, seed=seed
            )
        )
    )
    return processes.merge(shares)


def common_interval(
    measurements: Sequence[Measurement], examples: int | None, processes: Processes
) -> int:
    """Return the estimated interval between measurements, the same in each process.

    All processes must call this function.

    Args:
        measurements: The first measurements of the probe.
        examples: Examples that this process uses for one optimizer step; None if unknown.
        processes: The processes of the training.
    """
    inputs = max(1, len(processes.share(len(measurements))))
    first = measurements[0]
    interval = estimated_interval(inputs, first.classes, examples, exact=first.exact)
    # The batches of the processes may differ in size.
    return processes.on_rank_zero(lambda: interval)
