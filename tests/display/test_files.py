"""Saved files contain the curves and the points of the frames in the units of the input."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from PIL import Image

from lightning_leaf.display.disk_space import require_free_space
from lightning_leaf.display.files import save_files
from lightning_leaf.display.locations import local_path
from lightning_leaf.drawing.strip import CAPTION, GAP, HEADER, TILE, draw_strip
from lightning_leaf.paths.leaf_path import LeafPath
from tests.support.made_paths import make_path, random_log_probs, take_snapshot

PATHS = [make_path(random_log_probs(40 + 10 * i, 5, i), seed=i) for i in range(3)]
WALKS = [make_path(random_log_probs(40, 5, i), (2, 30), "orthogonal", seed=i) for i in range(3)]


@pytest.mark.parametrize("paths", [PATHS, WALKS], ids=["horizontal", "orthogonal"])
def test_files_contain_curves_points_and_strips(tmp_path, paths):
    snapshot = take_snapshot(*paths)
    folder = Path(save_files(snapshot, LeafPath(paths), tmp_path))
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
    with Image.open(folder / "strips.png") as picture:
        tiles = 13 + (paths is PATHS)
        height = HEADER + TILE + CAPTION + 2 * GAP
        assert picture.size == (tiles * (TILE + GAP) + 2 * GAP, 3 * height)
        strip = draw_strip(snapshot.paths[1], paths[1])
        below = picture.crop((0, strip.height, strip.width, 2 * strip.height))
        assert np.array_equal(np.asarray(below), np.asarray(strip))


def test_saved_points_are_those_of_the_frames_when_few_points_were_kept(tmp_path):
    single = make_path(random_log_probs(1000, 5), kept=40)
    snapshot = take_snapshot(single)
    save_files(snapshot, LeafPath([single]), tmp_path)
    with np.load(next(tmp_path.rglob("*.npz"))) as arrays:
        frames = (arrays["points"] * 255).round()[:, 0]
        assert np.array_equal(frames, snapshot.paths[0].frames)
        # Negative control: the frames are not the first points that were kept.
        assert not np.array_equal(arrays["points"], single.points[:13])


def test_saving_again_replaces_the_files(tmp_path):
    for path in (PATHS[0], PATHS[1]):
        folder = save_files(take_snapshot(path), LeafPath([path]), str(tmp_path))
    with np.load(f"{folder}/path-0.npz") as arrays:
        assert arrays["steps"] == PATHS[1].steps


def test_files_of_a_remote_log_folder_are_remote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snapshot, url = take_snapshot(PATHS[0]), "memory://bucket/logs/version_0/"
    folder = save_files(snapshot, LeafPath(PATHS[:1]), url)
    assert folder == "memory://bucket/logs/version_0/leaf/mine-000000000030"
    memory = fsspec.filesystem("memory")
    found = {name.rpartition("/")[2] for name in memory.find(folder)}
    assert found == {"path-0.npz", "strips.png"}
    with memory.open(f"{folder}/path-0.npz") as file, np.load(file) as arrays:
        assert np.array_equal(arrays["probabilities"], snapshot.paths[0].probabilities)
    with memory.open(f"{folder}/strips.png") as file, Image.open(file) as picture:
        assert picture.size[1] == draw_strip(snapshot.paths[0], PATHS[0]).height
    assert not list(tmp_path.iterdir())
    # Negative control: a Path changes the URL into the name of a local folder.
    save_files(snapshot, LeafPath(PATHS[:1]), Path(url))
    assert [entry.name for entry in tmp_path.iterdir()] == ["memory:"]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("logs/run", Path("logs/run")),
        (Path("logs"), Path("logs")),
        ("file:///var/logs", Path("/var/logs")),
        ("s3://bucket/logs", None),
        ("gs://bucket/logs", None),
        ("simplecache::s3://bucket/logs", None),
    ],
)
def test_remote_locations_are_recognized_without_a_connection(location, expected):
    assert local_path(location) == expected


def test_free_space_of_a_remote_folder_is_not_checked(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    require_free_space("memory://bucket/logs")


@pytest.mark.parametrize(("free", "enough"), [(4_000_000, True), (3_999_999, False)])
def test_less_free_disk_space_than_two_snapshots_raises_an_error(
    tmp_path, monkeypatch, free, enough
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    require_free_space(tmp_path / "not created yet")
    if enough:
        require_free_space(tmp_path)
    else:
        with pytest.raises(
            OSError, match=r"at least 4 MB of free disk space; 4\.0 MB are left\. Free"
        ):
            require_free_space(tmp_path)
