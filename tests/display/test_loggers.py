"""Every kind of logger gets what it can take of a snapshot, and files keep it without any."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard_plugin_leaf import decode, encode

from lightning_leaf.display.snapshots import publish, save_files
from lightning_leaf.display.strip import CAPTION, GAP, TILE, draw_strip, stack_strips
from lightning_leaf.paths.leaf_path import LeafPath
from tests.support.made_paths import made_path, predictions, taken

PATHS = [made_path(predictions(40 + 10 * i, 5, i), seed=i) for i in range(3)]
WALKS = [made_path(predictions(40, 5, i), (2, 30), kind="orthogonal", seed=i) for i in range(3)]


class Pictures:
    """A logger with the interface of Weights & Biases for images."""

    def __init__(self):
        self.experiment = SimpleNamespace()
        self.logged = []

    def log_image(self, key, images, step=None, **kwargs):
        # WandbLogger takes keywords for each image.
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
    snapshot = taken(*paths)
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
    logger = Pictures()
    snapshot = taken(*paths, names=("cat", "dog", "cow", "hen", "pig"))
    publish(snapshot, LeafPath(paths), [logger])
    ((key, images, step, keywords),) = logger.logged
    assert (key, step) == (snapshot.name, snapshot.step)
    assert len(images) == 3
    assert all(isinstance(image, Image.Image) for image in images)
    titles = ("cat → 1", "dog → 2", "cow → 3") if paths is PATHS else ("cat", "dog", "cow")
    expected = [f"{title}: {path.describe()}" for title, path in zip(titles, paths, strict=True)]
    assert keywords == {"caption": expected}


def test_each_of_several_loggers_gets_it_once(tmp_path):
    pictures, board = Pictures(), TensorBoardLogger(tmp_path)
    publish(taken(*PATHS), LeafPath(PATHS), [pictures, board, CSVLogger(tmp_path), pictures])
    assert len(pictures.logged) == 2
    assert len(events(tmp_path)) == 1
    board.finalize("success")


@pytest.mark.parametrize("kind", ["none", "csv", "dummy", "own"])
def test_loggers_that_cannot_show_paths_are_no_error(tmp_path, kind):
    loggers = {
        "none": [],
        "csv": [CSVLogger(tmp_path)],
        "dummy": [DummyLogger()],
        "own": [SimpleNamespace(log_image=None)],
    }
    publish(taken(*PATHS), LeafPath(PATHS), loggers[kind])
    assert not list(tmp_path.rglob("events*"))


@pytest.mark.parametrize("paths", [PATHS, WALKS], ids=["horizontal", "orthogonal"])
def test_files_hold_the_curves_and_the_shown_points_in_input_units(tmp_path, paths):
    snapshot = taken(*paths)
    folder = save_files(snapshot, LeafPath(paths), tmp_path)
    assert folder == tmp_path / "leaf" / "mine-000000000030"
    names = {"path-0.npz", "path-1.npz", "path-2.npz", "strips.png"}
    assert {file.name for file in folder.iterdir()} == names
    for i, (single, record) in enumerate(zip(paths, snapshot.paths, strict=True)):
        with np.load(folder / f"path-{i}.npz", allow_pickle=False) as saved:
            arrays = dict(saved)
        for field in ("curve_steps", "probabilities", "entropy", "horizontality", "frame_steps"):
            assert np.array_equal(arrays[field], getattr(record, field))
        assert tuple(arrays["classes"]) == record.classes
        assert (str(arrays["source"]), int(arrays["steps"])) == (record.source, record.steps)
        shown = [single.point_steps.tolist().index(step) for step in record.frame_steps]
        assert np.array_equal(arrays["points"], single.points[shown])
        assert ("end" in arrays) == (single.end is not None)
        if single.end is not None:
            assert np.array_equal(arrays["end"], single.end)


def test_points_in_files_are_those_of_the_frames_where_few_points_were_kept(tmp_path):
    single = made_path(predictions(1000, 5), kept=40)
    save_files(taken(single), LeafPath([single]), tmp_path)
    with np.load(next(tmp_path.rglob("*.npz"))) as arrays:
        frames = (arrays["points"] * 255).round()[:, 0]
        assert np.array_equal(frames, taken(single).paths[0].frames)
        # Negative control: the frames are not the first points that were kept.
        assert not np.array_equal(arrays["points"], single.points[:13])


def test_saving_again_replaces_the_files(tmp_path):
    for path in (PATHS[0], PATHS[1]):
        folder = save_files(taken(path), LeafPath([path]), tmp_path)
    with np.load(folder / "path-0.npz") as arrays:
        assert arrays["steps"] == PATHS[1].steps


@pytest.mark.parametrize("paths", [PATHS, WALKS], ids=["horizontal", "orthogonal"])
def test_the_picture_holds_a_tile_for_every_frame_and_the_destination(tmp_path, paths):
    snapshot = taken(*paths)
    folder = save_files(snapshot, LeafPath(paths), tmp_path)
    tiles = 13 + (paths is PATHS)
    with Image.open(folder / "strips.png") as picture:
        assert picture.size == (tiles * (TILE + GAP) + GAP, 3 * (TILE + CAPTION + 2 * GAP))
        strip = draw_strip(snapshot.paths[1])
        below = picture.crop((0, strip.height, strip.width, 2 * strip.height))
        assert np.array_equal(np.asarray(below), np.asarray(strip))


def test_strips_of_different_lengths_stand_below_each_other():
    long, short = (draw_strip(taken(made_path(predictions(n, 3))).paths[0]) for n in (20, 3))
    assert stack_strips([short, long]).size == (long.width, short.height + long.height)


def tile(strip: Image.Image, i: int) -> np.ndarray:
    left = GAP + i * (TILE + GAP)
    return np.asarray(strip)[GAP : GAP + TILE, left : left + TILE]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_small_images_are_squares_in_the_strip(channels):
    record = taken(made_path(predictions(40, 3), (channels, 8, 8))).paths[0]
    strip = draw_strip(record)
    frames = [*record.frames, record.destination_frame]
    for i, frame in enumerate(frames):
        squares = np.kron(frame.reshape(8, 8, channels), np.ones((9, 9, 1)))
        assert np.array_equal(tile(strip, i), np.broadcast_to(squares, (72, 72, 3)))


def test_large_images_fit_into_their_tiles():
    record = taken(made_path(predictions(40, 3), (1, 200, 100))).paths[0]
    strip = draw_strip(record)
    assert (tile(strip, 0)[:, 36:] == 255).all()
    assert not (tile(strip, 0)[:, :36] == 255).all(axis=2).any()


def dark(picture: np.ndarray) -> np.ndarray:
    return (picture < 60).all(axis=2)


def signal_strip(*values: torch.Tensor, end: torch.Tensor | None = None) -> Image.Image:
    """The strip of a path through these signals."""
    single = made_path(predictions(len(values) - 1, 3), values[0].shape)
    single.points[:] = torch.stack(values)
    single.end[:] = values[0] if end is None else end
    return draw_strip(taken(single).paths[0])


def test_signals_share_one_scale_from_the_least_to_the_greatest_value():
    strip = signal_strip(torch.zeros(30), torch.ones(30), end=torch.full((30,), 4.0))
    rows = [np.flatnonzero(dark(tile(strip, i)).sum(1) > 30) for i in range(3)]
    heights = [float(found.mean()) for found in rows]
    assert heights[0] > 68
    assert heights[2] < 4
    assert heights[1] == pytest.approx(heights[0] * 3 / 4 + heights[2] / 4, abs=1)


BROKEN = {
    "NaN": torch.tensor([0.0, math.nan, 1.0, 0.5]),
    "constant": torch.ones(4),
    "channels": torch.tensor([[0.0, 1.0, 0.0], [1.0, math.nan, 1.0]]),
}


@pytest.mark.parametrize("signal", BROKEN.values(), ids=BROKEN.keys())
def test_signals_with_nan_or_without_range_are_drawn(signal):
    strip = signal_strip(signal.nan_to_num(), signal)
    assert strip.size == (3 * (TILE + GAP) + GAP, TILE + CAPTION + 2 * GAP)
    assert dark(tile(strip, 1)).any()
    # A missing sample is drawn as zero, and stands in the way of no other.
    assert np.array_equal(tile(strip, 1), tile(strip, 0))


def test_captions_are_below_each_tile():
    strip = np.asarray(draw_strip(taken(PATHS[0]).paths[0]))
    for i in range(14):
        left = GAP + i * (TILE + GAP)
        assert dark(strip[GAP + TILE :, left : left + TILE]).any()
