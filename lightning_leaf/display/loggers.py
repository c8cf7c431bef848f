"""Delivery of snapshots to the trainer's loggers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from PIL import Image
from tensorboard_plugin_leaf import Snapshot, write

from lightning_leaf.display.disk_space import require_free_space
from lightning_leaf.drawing.strip import draw_strip
from lightning_leaf.drawing.titles import pair_name
from lightning_leaf.paths.leaf_path import LeafPath


def publish(snapshot: Snapshot, path: LeafPath, loggers: Iterable[Any]) -> bool:
    """Send a snapshot to every logger that supports it; call it on rank zero.

    A TensorBoard logger gets the summary that the LEAF tab displays. MLflow, Comet, Neptune, and
    every logger with ``log_image``, such as Weights & Biases, get one strip for each path. Other
    loggers are skipped.

    Args:
        snapshot: The snapshot.
        path: The paths of the snapshot.
        loggers: The trainer's loggers.

    Returns:
        Whether at least one logger received the snapshot.

    Raises:
        OSError: If the disk of a TensorBoard logger is nearly full.
    """
    from torch.utils.tensorboard import SummaryWriter

    pictures: list[_Picture] = []
    received = False
    for logger in loggers:
        send = _sender_of(logger)
        if send is not None:
            pictures = pictures or _pictures(snapshot, path)
            send(logger, snapshot, pictures)
            received = True
        elif isinstance(writer := getattr(logger, "experiment", None), SummaryWriter):
            write_summary(snapshot, writer)
            received = True
    return received


def write_summary(snapshot: Snapshot, writer: Any) -> None:
    """Write a snapshot to a ``SummaryWriter``, for the LEAF tab of TensorBoard.

    Raises:
        OSError: If the disk is nearly full.
    """
    require_free_space(writer.log_dir)
    write(writer, snapshot)


@dataclass(frozen=True)
class _Picture:
    """The strip of one path and its caption."""

    image: Image.Image
    caption: str


def _pictures(snapshot: Snapshot, path: LeafPath) -> list[_Picture]:
    return [
        _Picture(
            draw_strip(record, single, scaled=snapshot.scaled),
            f"{pair_name(record)}: {single.describe()}",
        )
        for record, single in zip(snapshot.paths, path, strict=True)
    ]


_Send = Callable[[Any, Snapshot, list[_Picture]], None]


def _sender_of(logger: Any) -> _Send | None:
    """Return the function that sends pictures to a logger; None if it takes no pictures.

    Loggers are recognized by the names of their classes, because those of ``lightning.pytorch`` and
    of ``pytorch_lightning`` are different classes.
    """
    for kind in type(logger).__mro__:
        if kind.__name__ in _SENDERS:
            return _SENDERS[kind.__name__]
        if kind.__name__ == "DummyLogger":  # of fast_dev_run; it has a method of every name
            return None
    return _send_images if callable(getattr(logger, "log_image", None)) else None


def _send_images(logger: Any, snapshot: Snapshot, pictures: list[_Picture]) -> None:
    logger.log_image(
        key=snapshot.name,
        images=[picture.image for picture in pictures],
        caption=[picture.caption for picture in pictures],
        step=snapshot.step,
    )


def _send_to_mlflow(logger: Any, snapshot: Snapshot, pictures: list[_Picture]) -> None:
    client = logger.experiment  # an MlflowClient; reading it starts the run
    for key, picture in _keyed(snapshot, pictures):
        client.log_image(logger.run_id, picture.image, key=key, step=snapshot.step)


def _send_to_comet(logger: Any, snapshot: Snapshot, pictures: list[_Picture]) -> None:
    for key, picture in _keyed(snapshot, pictures):
        logger.experiment.log_image(picture.image, name=key, step=snapshot.step)


def _send_to_neptune(logger: Any, snapshot: Snapshot, pictures: list[_Picture]) -> None:
    from neptune.types import File

    for key, picture in _keyed(snapshot, pictures):
        logger.experiment[key].append(
            File.as_image(picture.image), step=snapshot.step, description=picture.caption
        )


def _keyed(snapshot: Snapshot, pictures: list[_Picture]) -> list[tuple[str, _Picture]]:
    """Return each picture with a key of its own, under which it has one value for each step.

    Without a slash: older servers of MLflow cannot show pictures whose key contains one.
    """
    return [(f"{snapshot.name}-path-{i}", picture) for i, picture in enumerate(pictures)]


_SENDERS: dict[str, _Send] = {
    "MLFlowLogger": _send_to_mlflow,
    "CometLogger": _send_to_comet,
    "NeptuneLogger": _send_to_neptune,
}
