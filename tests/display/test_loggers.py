"""Every logger gets the part of a snapshot that it supports."""

import re
import sys
from types import ModuleType, SimpleNamespace

import fsspec
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


class MlflowClient:
    """The client of MLflow, with the signature of its method for images."""

    def __init__(self):
        self.logged = []

    def log_image(
        self, run_id, image, artifact_file=None, key=None, step=None, timestamp=None,
        synchronous=None,
    ):  # fmt: skip
        assert isinstance(run_id, str)
        assert isinstance(image, Image.Image)
        assert (artifact_file is None) != (key is None)
        assert re.fullmatch(r"[a-zA-Z0-9_\-. ]+", key)
        self.logged.append((run_id, key, step))


class MLFlowLogger:
    """The part of Lightning's logger that is used; reading ``experiment`` starts the run."""

    def __init__(self):
        self.client, self.run_id = MlflowClient(), None

    @property
    def experiment(self):
        self.run_id = "run 7"
        return self.client


class CometExperiment:
    """An experiment of Comet, with the signature of its method for images."""

    def __init__(self):
        self.logged = []

    def log_image(
        self, image_data, name=None, overwrite=False, image_format="png", image_scale=1.0,
        image_shape=None, image_colormap=None, image_minmax=None, image_channels="last",
        copy_to_tmp=True, step=None, annotations=None, metadata=None,
    ):  # fmt: skip
        assert isinstance(image_data, Image.Image)
        self.logged.append((name, step))


class CometLogger:
    def __init__(self):
        self.experiment = CometExperiment()


class NeptuneField:
    def __init__(self, logged, key):
        self.logged, self.key = logged, key

    def append(self, value, *, step=None, timestamp=None, wait=False, **kwargs):
        assert value == "a file of Neptune"
        assert step is None or step > max(
            (s for key, s, _ in self.logged if key == self.key), default=-1
        )
        assert set(kwargs) <= {"name", "description"}
        self.logged.append((self.key, step, kwargs["description"]))


class NeptuneRun:
    def __init__(self):
        self.logged = []

    def __getitem__(self, key):
        return NeptuneField(self.logged, key)


class NeptuneLogger:
    def __init__(self):
        self.experiment = NeptuneRun()


class NeptuneFile:
    @staticmethod
    def as_image(image, autoscale=True):
        assert isinstance(image, Image.Image)
        return "a file of Neptune"


@pytest.fixture
def neptune(monkeypatch):
    types = ModuleType("neptune.types")
    types.File = NeptuneFile
    monkeypatch.setitem(sys.modules, "neptune", ModuleType("neptune"))
    monkeypatch.setitem(sys.modules, "neptune.types", types)


def test_mlflow_comet_and_neptune_get_a_strip_for_each_path(neptune):
    class OfAUser(MLFlowLogger):
        """Loggers are recognized by the names of their base classes."""

    snapshot, path = take_snapshot(*PATHS), LeafPath(PATHS)
    mlflow, comet, neptune_logger = OfAUser(), CometLogger(), NeptuneLogger()
    keys = [f"mine-path-{i}" for i in range(3)]
    for logger in (mlflow, comet, neptune_logger):
        assert publish(snapshot, path, [logger])
    assert mlflow.client.logged == [("run 7", key, 30) for key in keys]
    assert comet.experiment.logged == [(key, 30) for key in keys]
    logged = neptune_logger.experiment.logged
    assert [(key, step) for key, step, _ in logged] == [(key, 30) for key in keys]
    assert logged[0][2] == f"0 → 1: {PATHS[0].describe()}"
    # Negative control: the interface of another logger raises an error in each fake.
    for experiment in (mlflow.experiment, comet.experiment):
        with pytest.raises(TypeError, match="unexpected keyword"):
            experiment.log_image(key="a", images=[], caption=[], step=1)


@pytest.mark.parametrize("paths", [PATHS, WALKS], ids=["horizontal", "orthogonal"])
def test_tensorboard_gets_the_summary_of_the_plugin(tmp_path, paths):
    snapshot = take_snapshot(*paths)
    logger = TensorBoardLogger(tmp_path)
    assert publish(snapshot, LeafPath(paths), [logger])
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
    assert publish(snapshot, LeafPath(paths), [logger])
    ((key, images, step, keywords),) = logger.logged
    assert (key, step) == (snapshot.name, snapshot.step)
    assert len(images) == 3
    assert all(isinstance(image, Image.Image) for image in images)
    titles = ("cat → 1", "dog → 2", "cow → 3") if paths is PATHS else ("cat", "dog", "cow")
    expected = [f"{title}: {path.describe()}" for title, path in zip(titles, paths, strict=True)]
    assert keywords == {"caption": expected}


def test_a_remote_tensorboard_logger_gets_the_summary(tmp_path):
    logger, snapshot = TensorBoardLogger("memory://board/logs"), take_snapshot(PATHS[0])
    assert publish(snapshot, LeafPath(PATHS[:1]), [logger])
    logger.finalize("success")
    logger.experiment.close()
    memory = fsspec.filesystem("memory")
    (remote,) = [name for name in memory.find("memory://board/logs") if "tfevents" in name]
    (tmp_path / "events.out.tfevents.0").write_bytes(memory.cat(remote))
    ((step, value),) = events(tmp_path)
    assert (step, value.metadata.plugin_data.plugin_name) == (snapshot.step, "leaf")


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
    assert not publish(take_snapshot(*PATHS), LeafPath(PATHS), loggers[kind])
    assert not list(tmp_path.rglob("events*"))
