"""Every logger gets the part of a snapshot that it supports."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard_plugin_leaf import decode, encode

from lightning_leaf.display.loggers import publish
from lightning_leaf.paths.leaf_path import LeafPath
from tests.support.made_paths import make_path, random_log_probs, take_snapshot

PATHS = [make_path(random_log_probs(40 + 10 * i, 5, i), seed=i) for i in range(3)]
WALKS = [make_path(random_log_probs(40, 5, i), (2, 30), "orthogonal", seed=i) for i in range(3)]


class ImageLogger:
    """A logger with the interface of Weights & Biases for images."""

    def __init__(self):
        self.experiment = SimpleNamespace()
        self.logged = []

    def log_image(self, key, images, step=None, **kwargs):
        # WandbLogger expects one value of every keyword for each image.
        assert all(len(values) == len(images) for values in kwargs.values())
        self.logged.append((key, images, step, kwargs))


def events(folder):
    files = folder.rglob("events.out.tfevents.*")
    return [
        (event.step, value)
        for file in files
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
    ]


@pytest.mark.parametrize("paths", [PATHS, WALKS], ids=["horizontal", "orthogonal"])
def test_tensorboard_gets_the_summary_of_the_plugin(tmp_path, paths):
    snapshot = take_snapshot(*paths)
    logger = TensorBoardLogger(tmp_path)
    publish(snapshot, LeafPath(paths), [logger])
    ((step, value),) = events(tmp_path)
    assert step == snapshot.step
    assert value.metadata.plugin_data.plugin_name == "leaf"
    read = decode(value.metadata.plugin_data.content, list(value.tensor.string_val))
    assert encode(read) == encode(snapshot)
    logger.finalize("success")


@pytest.mark.parametrize("paths", [PATHS, WALKS], ids=["horizontal", "orthogonal"])
def test_a_logger_of_images_gets_a_strip_and_a_caption_for_each_path(paths):
    logger = ImageLogger()
    snapshot = take_snapshot(*paths, names=("cat", "dog", "cow", "hen", "pig"))
    publish(snapshot, LeafPath(paths), [logger])
    ((key, images, step, keywords),) = logger.logged
    assert (key, step) == (snapshot.name, snapshot.step)
    assert len(images) == 3
    assert all(isinstance(image, Image.Image) for image in images)
    titles = ("cat → 1", "dog → 2", "cow → 3") if paths is PATHS else ("cat", "dog", "cow")
    expected = [f"{title}: {path.describe()}" for title, path in zip(titles, paths, strict=True)]
    assert keywords == {"caption": expected}


def test_every_logger_gets_the_snapshot_once(tmp_path):
    pictures, board = ImageLogger(), TensorBoardLogger(tmp_path)
    publish(
        take_snapshot(*PATHS), LeafPath(PATHS), [pictures, board, CSVLogger(tmp_path), pictures]
    )
    assert len(pictures.logged) == 2
    assert len(events(tmp_path)) == 1
    board.finalize("success")


@pytest.mark.parametrize("kind", ["none", "csv", "dummy", "user"])
def test_loggers_that_cannot_show_paths_are_skipped(tmp_path, kind):
    loggers = {
        "none": [],
        "csv": [CSVLogger(tmp_path)],
        "dummy": [DummyLogger()],
        "user": [SimpleNamespace(log_image=None)],
    }
    publish(take_snapshot(*PATHS), LeafPath(PATHS), loggers[kind])
    assert not list(tmp_path.rglob("events*"))
