"""Strips show every frame of a path in a tile of the same size, with a caption."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_leaf import PathStatus
from lightning_leaf.display.second_opinion import SecondOpinion
from lightning_leaf.drawing import strip as strips
from lightning_leaf.drawing.change import HIGHER, LOWER
from lightning_leaf.drawing.lettering import fitted, text_width
from lightning_leaf.drawing.strip import CAPTION, GAP, HEADER, TILE, draw_strip, stack_strips
from tests.support.made_paths import make_path, random_log_probs, take_snapshot


def strip_of(steps: int, shape: tuple[int, ...] = (1, 8, 8)) -> Image.Image:
    path = make_path(random_log_probs(steps, 3), shape)
    return draw_strip(take_snapshot(path).paths[0], path)


def tile(strip: Image.Image, i: int) -> np.ndarray:
    left = GAP + i * (TILE + GAP)
    return np.asarray(strip)[HEADER : HEADER + TILE, left : left + TILE]


def dark(picture: np.ndarray) -> np.ndarray:
    return (picture < 60).all(axis=2)


def test_strips_of_different_lengths_are_stacked():
    long, short = strip_of(20), strip_of(3)
    assert stack_strips([short, long]).size == (long.width, short.height + long.height)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_small_images_are_squares(channels):
    path = make_path(random_log_probs(40, 3), (channels, 8, 8))
    record = take_snapshot(path).paths[0]
    strip = draw_strip(record, path)
    frames = [*record.frames, record.destination_frame]
    for i, frame in enumerate(frames):
        squares = np.kron(frame.reshape(8, 8, channels), np.ones((TILE // 8, TILE // 8, 1)))
        assert np.array_equal(tile(strip, i), np.broadcast_to(squares, (TILE, TILE, 3)))


def test_large_images_fit_into_their_tiles():
    strip = strip_of(40, (1, 200, 100))
    assert (tile(strip, 0)[:, TILE // 2 :] == 255).all()
    assert not (tile(strip, 0)[:, : TILE // 2] == 255).all(axis=2).any()


def signal_strip(*values: torch.Tensor, end: torch.Tensor | None = None) -> Image.Image:
    """Return the strip of a path through these signals."""
    single = make_path(random_log_probs(len(values) - 1, 3), values[0].shape)
    single.points[:] = torch.stack(values)
    single.end[:] = values[0] if end is None else end
    return draw_strip(take_snapshot(single).paths[0], single)


def test_signals_share_one_scale_from_the_smallest_to_the_largest_value():
    strip = signal_strip(torch.zeros(30), torch.ones(30), end=torch.full((30,), 4.0))
    rows = [np.flatnonzero(dark(tile(strip, i)).sum(1) > 30) for i in range(3)]
    heights = [float(row.mean()) for row in rows]
    assert heights[0] > TILE - 4
    assert heights[2] < 4
    assert heights[1] == pytest.approx(heights[0] * 3 / 4 + heights[2] / 4, abs=1)


DIFFICULT = {
    "NaN": torch.tensor([0.0, math.nan, 1.0, 0.5]),
    "constant": torch.ones(4),
    "channels": torch.tensor([[0.0, 1.0, 0.0], [1.0, math.nan, 1.0]]),
}


@pytest.mark.parametrize("signal", DIFFICULT.values(), ids=DIFFICULT.keys())
def test_signals_with_nan_or_with_one_value_only_are_drawn(signal):
    strip = signal_strip(signal.nan_to_num(), signal)
    assert strip.size == (3 * (TILE + GAP) + 2 * GAP, HEADER + TILE + CAPTION + 2 * GAP)
    assert dark(tile(strip, 1)).any()
    # A missing sample is drawn as zero and does not change the others.
    assert np.array_equal(tile(strip, 1), tile(strip, 0))


def test_every_tile_has_a_caption():
    strip = np.asarray(strip_of(40))
    for i in range(14):
        left = GAP + i * (TILE + GAP)
        assert dark(strip[HEADER + TILE :, left : left + TILE]).any()


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of text that are written into strips."""
    lines: list[str] = []

    def write(draw: object, left: float, top: float, text: str, *_: object) -> None:
        lines.append(text)

    monkeypatch.setattr(strips, "write_line", write)
    return lines


def test_the_title_says_where_a_path_leads_how_it_ended_and_by_how_much_it_changed(written):
    single = dataclasses.replace(
        make_path(random_log_probs(40, 10), kind="prediction"),
        status=PathStatus.BLOCKED,
        blocked_by="domain",
    )
    name = str(int(single.target.argmax()))
    opinion = SecondOpinion("7", 0.456)
    record = take_snapshot(single, opinions=[opinion]).paths[0]
    draw_strip(record, single)
    title, note, *captions = written
    assert title == (
        f"0 → {name} · blocked (domain) · changed by {single.change:.3g} · "
        "another network predicts 7 (0.46)"
    )
    assert note.startswith("one scale: black and white are the ends of the valid range · change: ")
    assert captions[0] == f"p({record.frame_labels[0]}) = {record.frame_probabilities[0]:.2f}"
    assert captions[1] == "step 0"
    assert captions[-2] == "change"
    # Negative controls: a path of another kind has no change, and no other network was asked.
    written.clear()
    walk = make_path(random_log_probs(40, 10), kind="orthogonal")
    draw_strip(take_snapshot(walk).paths[0], walk)
    assert written[0] == f"0 · out of steps · changed by {walk.change:.3g}"
    assert "change" not in written


def test_frames_share_the_scale_of_the_whole_path_and_the_strip_says_it(written):
    single = make_path(random_log_probs(40, 3))
    single.points[21] *= 7  # brighter than both ends
    single.points[0, 0, 0, 0] = -2
    record = take_snapshot(single, bounds=None).paths[0]
    assert 21 not in record.frame_steps  # a frame that is not shown counts too
    points = torch.cat([single.points, single.end[None]])
    low, high = float(points.min()), float(points.max())
    shown = torch.cat([single.points[record.frame_steps], single.end[None]])[:, 0]
    expected = ((shown - low) / (high - low) * 255).round().byte().numpy()
    assert np.array_equal([*record.frames, record.destination_frame], expected)
    draw_strip(record, single, scaled=True)
    assert written[1].startswith(f"one scale: black is −2, white is {high:.3g}, ")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_last_tile_of_a_prediction_path_is_the_change_in_blue_and_red(channels):
    single = make_path(random_log_probs(4, 3), (channels, 8, 8), "prediction")
    single.points[0] = 0.5
    single.points[-1] = 0.5
    single.points[-1, :, 0, 0] += 0.4
    single.points[-1, :, 0, 1] -= 0.2
    picture = tile(draw_strip(take_snapshot(single).paths[0], single), 5)
    square = TILE // 8
    assert picture[square // 2, square // 2].tolist() == list(HIGHER)
    half = [round(255 + (colour - 255) / 2) for colour in LOWER]
    assert picture[square // 2, 3 * square // 2].tolist() == pytest.approx(half, abs=2)
    assert (picture[2 * square : -1, 1:-1] >= 252).all()  # no change


def test_long_names_are_shortened_to_the_width_of_a_tile():
    assert fitted("p(", "3", ") = 0.39", 13, TILE) == "p(3) = 0.39"
    short = fitted("p(", "x" * 300, ") = 0.39", 13, TILE)
    assert short.endswith("…) = 0.39")
    assert TILE - 15 < text_width(short, 13) <= TILE
