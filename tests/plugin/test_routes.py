"""The routes of the plugin, with event files and both loaders of TensorBoard."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.context import RequestContext
from tensorboard_plugin_leaf import PathRecord, Snapshot, encode, summary_of, tag_of, write
from tensorboard_plugin_leaf.schema.path import PathScalars
from werkzeug.test import Client, TestResponse

from tests.support.plugin import synthetic
from tests.support.plugin.logs import LOADERS, LogDirectory, blob_summary

ROUTE = "/data/plugin/leaf/"


@pytest.fixture
def log(tmp_path: Path) -> LogDirectory:
    return LogDirectory(tmp_path / "logs")


@pytest.fixture(params=LOADERS)
def loader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def get(client: Client, route: str, **parameters: Any) -> TestResponse:
    return client.get(ROUTE + route, query_string=parameters)


def get_json(client: Client, route: str, **parameters: Any) -> Any:
    response = get(client, route, **parameters)
    assert response.status_code == 200, response.text

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not strict JSON")

    return json.loads(response.text, parse_constant=no_constant)


def listed_tags(client: Client) -> list[str]:
    return [
        item["tag"] for run in get_json(client, "snapshots")["runs"] for item in run["snapshots"]
    ]


@pytest.mark.parametrize("kind", ["horizontal", "prediction", "orthogonal"])
def test_list_has_the_snapshot_that_was_written(log: LogDirectory, loader: str, kind: str) -> None:
    snapshot = synthetic.snapshot(500, kind=kind, reason="checkpoint")
    with log.run("version_0") as writer:
        write(writer, snapshot)
    with log.serve(loader) as client:
        (run,) = get_json(client, "snapshots")["runs"]
    assert (run["run"], run["damaged"], run["scalars"]) == ("version_0", [], [])
    (listed,) = run["snapshots"]
    assert listed.pop("wall_time") > 1.7e9
    paths = listed.pop("paths")
    assert listed == {
        "tag": tag_of(snapshot),
        "name": snapshot.name,
        "kind": kind,
        "step": 500,
        "epoch": 1,
        "reason": "checkpoint",
        "session": snapshot.session,
        "class_count": 10,
        "input_shape": [1, 28, 28],
        "scaled": False,
        "likelihood": "categorical",
        "frame_note": "",
    }
    aims = kind != "orthogonal"
    assert paths[0]["source"] == "4"
    assert paths[0]["destination"] == ("9" if aims else "")
    assert paths[0]["destination_index"] == (1009 if kind == "horizontal" else None)
    thresholds = {"horizontal": 1.0, "prediction": 0.05, "orthogonal": None}
    assert paths[0]["threshold"] == thresholds[kind]
    assert paths[0]["status"] == ("reached" if aims else "out_of_steps")
    assert paths[0]["mean_horizontality"] == pytest.approx(0.54 if aims else 5e-4, rel=0.02)
    assert (paths[0]["change"], paths[0]["euclidean_length"]) == (12.5, 13.5)
    assert paths[0]["length_ratio"] == (1.0 if kind == "prediction" else 1.9)
    assert paths[1]["blocked_by"] == ("domain" if kind == "prediction" else "")
    assert (paths[0]["judged"], paths[0]["judged_probability"]) == ("", None)
    assert [path["steps"] for path in paths] == [480, 500, 520]


@pytest.mark.parametrize("kind", ["horizontal", "orthogonal"])
@pytest.mark.parametrize("shape", [(28, 28), (16, 20, 3), (32,), (2, 32)])
def test_path_has_the_values_that_were_written(
    log: LogDirectory, loader: str, kind: str, shape: tuple[int, ...]
) -> None:
    snapshot = synthetic.snapshot(kind=kind, shape=shape)
    with log.run("run") as writer:
        write(writer, snapshot)
    with log.serve(loader) as client:
        for index, path in enumerate(snapshot.paths):
            answer = get_json(client, "path", run="run", tag=tag_of(snapshot), index=index)
            assert_same_path(answer, path)


def assert_same_path(answer: dict[str, Any], path: PathRecord) -> None:
    scalars = {field.name for field in dataclasses.fields(PathScalars)}
    assert scalars >= {"source", "destination_index", "status", "threshold", "change", "judged"}
    for name in scalars:
        value = getattr(path, name)
        is_nan = isinstance(value, float) and math.isnan(value)
        assert answer[name] == (None if is_nan else value), name
    for name in ("classes", "frame_labels"):
        assert answer[name] == list(getattr(path, name))
    for name in ("curve_steps", "frame_steps"):
        np.testing.assert_array_equal(answer[name], getattr(path, name))
    for name in ("distance", "horizontality", "fisher_rao_length", "entropy"):
        np.testing.assert_allclose(answer[name], getattr(path, name), rtol=1e-6)
    np.testing.assert_allclose(answer["frame_probabilities"], path.frame_probabilities, rtol=1e-6)
    np.testing.assert_allclose(np.transpose(answer["probabilities"]), path.probabilities, rtol=1e-6)

    frames = answer["frames"]
    if path.frames.dtype == np.uint8:
        assert frames["type"] == "image"
        assert (frames["count"], frames["height"], frames["width"]) == path.frames.shape[:3]
        assert frames["destination"] == (path.destination_frame is not None)
    else:
        assert frames["type"] == "signal"
        values = np.reshape(frames["values"], path.frames.shape)
        np.testing.assert_allclose(values, path.frames, rtol=1e-6)
        assert np.shape(frames["values"])[1:] == (frames["channels"], frames["length"])
        if path.destination_frame is None:
            assert frames["destination"] is None
        else:
            destination = np.reshape(frames["destination"], path.destination_frame.shape)
            np.testing.assert_allclose(destination, path.destination_frame, rtol=1e-6)


@pytest.mark.parametrize("kind", ["horizontal", "orthogonal"])
@pytest.mark.parametrize("shape", [(28, 28), (12, 40, 3)])
def test_sheet_has_every_pixel_of_every_frame(
    log: LogDirectory, loader: str, kind: str, shape: tuple[int, ...]
) -> None:
    snapshot = synthetic.snapshot(kind=kind, shape=shape)
    path = snapshot.paths[1]
    with log.run("run") as writer:
        write(writer, snapshot)
    parameters = {"run": "run", "tag": tag_of(snapshot), "index": 1}
    with log.serve(loader) as client:
        layout = get_json(client, "path", **parameters)["frames"]
        response = get(client, "frames", **parameters)
    assert response.content_type == "image/png"
    sheet = np.asarray(Image.open(io.BytesIO(response.data)))
    height, width, columns = layout["height"], layout["width"], layout["columns"]
    expected = list(path.frames)
    if path.destination_frame is not None:
        expected.append(path.destination_frame)
    assert len(expected) == layout["count"] + layout["destination"]
    for tile, frame in enumerate(expected):
        row, column = divmod(tile, columns)
        pixels = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        np.testing.assert_array_equal(pixels, frame)


def test_non_finite_numbers_are_sent_as_null(log: LogDirectory, loader: str) -> None:
    snapshot = synthetic.snapshot(kind="orthogonal", paths=1, path_steps=10)
    snapshot.paths[0].horizontality[:] = np.nan
    snapshot.paths[0].distance[3] = np.inf
    with log.run("run") as writer:
        write(writer, snapshot)
        for tag in ("leaf/trace_mean", "leaf/tangent_dimension"):
            writer.add_scalar(tag, math.nan, 0)
            writer.add_scalar(tag, math.inf, 1)
            writer.add_scalar(tag, 2.0, 2)
    with log.serve(loader) as client:
        (run,) = get_json(client, "snapshots")["runs"]
        assert run["snapshots"][0]["paths"][0]["mean_horizontality"] is None
        answer = get_json(client, "path", run="run", tag=tag_of(snapshot))
        assert set(answer["horizontality"]) == {None}
        assert answer["distance"][3] is None
        assert answer["distance"][4] is not None
        scalars = get_json(client, "scalars", run="run", tag="leaf/trace_mean")
        assert scalars["values"] == [None, None, 2.0]


def write_scalars(writer: Any, steps: range, factor: float = 1.0, prefix: str = "leaf") -> None:
    for step in steps:
        writer.add_scalar(f"{prefix}/trace_mean", factor * step, step)
        writer.add_scalar(f"{prefix}/tangent_dimension", 9.0, step)


def test_scalars_of_the_monitor_are_listed_and_read(log: LogDirectory, loader: str) -> None:
    with log.run("leaf") as writer:
        write_scalars(writer, range(0, 300, 100))
        for name in ("trace_median", "trace_ratio", "effective_rank_entropy", "loss"):
            writer.add_scalar(f"leaf/{name}", 1.0, 0)
        # This prefix is not that of a monitor, because it has no tangent dimension.
        writer.add_scalar("other/trace_mean", 1.0, 0)
    with log.run("no_leaf") as writer:
        writer.add_scalar("loss", 1.0, 0)
    with log.serve(loader) as client:
        (run,) = get_json(client, "snapshots")["runs"]
        scalars = get_json(client, "scalars", run="leaf", tag="leaf/trace_mean")
    assert (run["run"], run["snapshots"]) == ("leaf", [])
    names = ["effective_rank_entropy", "tangent_dimension"]
    names += ["trace_mean", "trace_median", "trace_ratio"]
    assert run["scalars"] == [f"leaf/{name}" for name in names]
    assert scalars["steps"] == [0, 100, 200]
    assert scalars["values"] == [0.0, 100.0, 200.0]
    assert len(scalars["wall_times"]) == 3


def test_long_scalars_are_thinned_to_a_thousand_points(log: LogDirectory, loader: str) -> None:
    with log.run("run") as writer:
        for step in range(3000):
            writer.add_scalar("leaf/trace_mean", step, step)
    with log.serve(loader) as client:
        answer = get_json(client, "scalars", run="run", tag="leaf/trace_mean")
    assert 900 <= len(answer["steps"]) <= 1000
    assert answer["steps"] == answer["values"]
    assert answer["steps"][-1] == 2999


@pytest.mark.parametrize("resumed", [True, False])
def test_newer_session_supersedes_the_older_after_resuming(
    log: LogDirectory, loader: str, resumed: bool
) -> None:
    first = {"session": synthetic.FIRST_SESSION}
    old = [synthetic.snapshot(step, **first) for step in (100, 200, 300)]
    other = synthetic.snapshot(300, kind="orthogonal", **first)
    new = synthetic.snapshot(250, session=synthetic.SECOND_SESSION, session_start_step=200)
    with log.run("run") as writer:
        for snapshot in [*old, other]:
            write(writer, snapshot)
        write_scalars(writer, range(0, 400, 100))
    if resumed:
        with log.run("run") as writer:
            write(writer, new)
            write_scalars(writer, range(200, 300, 50), factor=-1.0)
    with log.serve(loader) as client:
        tags = listed_tags(client)
        scalars = get_json(client, "scalars", run="run", tag="leaf/trace_mean")
        # A page that was loaded earlier may still request a superseded tag.
        assert get(client, "path", run="run", tag=tag_of(old[2])).status_code == 200
    if resumed:
        assert tags == [tag_of(snapshot) for snapshot in (old[0], new, other)]
        assert scalars["steps"] == [0, 100, 200, 250]
        assert scalars["values"] == [0.0, 100.0, -200.0, -250.0]
    else:
        assert tags == [tag_of(snapshot) for snapshot in (*old, other)]
        assert scalars["values"] == [0.0, 100.0, 200.0, 300.0]


def test_sampling_drops_no_snapshot(log: LogDirectory, loader: str) -> None:
    snapshots = [synthetic.snapshot(step, paths=1, path_steps=5) for step in range(30)]
    with log.run("run") as writer:
        for snapshot in snapshots:
            write(writer, snapshot)
    with log.serve(loader) as client:
        assert listed_tags(client) == [tag_of(snapshot) for snapshot in snapshots]
        for snapshot in snapshots:
            assert get(client, "path", run="run", tag=tag_of(snapshot)).status_code == 200


def test_tensorboard_samples_the_steps_of_one_tag(log: LogDirectory) -> None:
    content, blobs = encode(synthetic.snapshot(paths=1, path_steps=5))
    with log.run("run") as writer:
        for step in range(30):
            writer._get_file_writer().add_summary(blob_summary("one", content, blobs), step)
    with log.provider("python") as provider:
        context = RequestContext()
        data = provider.read_blob_sequences(
            context, experiment_id="", plugin_name="leaf", downsample=1000
        )
    assert len(data["run"]["one"]) == 10


def test_runs_are_listed_in_natural_order(log: LogDirectory, loader: str) -> None:
    for name in ("version_10", "version_9", "a/version_2", "a/version_11"):
        with log.run(name) as writer:
            write(writer, synthetic.snapshot(paths=1, path_steps=5))
    with log.serve(loader) as client:
        runs = [run["run"] for run in get_json(client, "snapshots")["runs"]]
    assert runs == ["a/version_2", "a/version_11", "version_9", "version_10"]


def newer(content: bytes) -> bytes:
    return content.replace(b'"schema":1', b'"schema":2')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content, blobs: (content[:-10], blobs), "damaged"),
        (lambda content, blobs: (b"", blobs), "damaged"),
        (lambda content, blobs: (b"\xff\x00", blobs), "damaged"),
        (lambda content, blobs: (content, blobs[:-1]), "lists 3 paths, the event has 2"),
        (lambda content, blobs: (newer(content), blobs), "upgrade"),
    ],
)
def test_damaged_snapshot_is_listed_with_a_message_and_does_not_affect_others(
    log: LogDirectory, loader: str, damage: Any, message: str
) -> None:
    good, bad = synthetic.snapshot(1), synthetic.snapshot(2)
    summary = blob_summary(tag_of(bad), *damage(*encode(bad)))
    with log.run("run") as writer:
        write(writer, good)
        writer._get_file_writer().add_summary(summary, 2)
    with log.serve(loader) as client:
        (run,) = get_json(client, "snapshots")["runs"]
    assert [snapshot["tag"] for snapshot in run["snapshots"]] == [tag_of(good)]
    assert [item["tag"] for item in run["damaged"]] == [tag_of(bad)]
    assert message in run["damaged"][0]["message"]


def test_damaged_path_gets_404_and_the_others_200(log: LogDirectory, loader: str) -> None:
    content, blobs = encode(SHARED)
    with log.run("run") as writer:
        damaged = [blobs[0], blobs[1][:-100]]
        summary = blob_summary(KNOWN["tag"], content, damaged)
        writer._get_file_writer().add_summary(summary, 1)
    with log.serve(loader) as client:
        for route in ("path", "frames"):
            codes = [get(client, route, **KNOWN, index=index).status_code for index in range(2)]
            assert codes == [200, 404]
        assert "damaged" in get(client, "path", **KNOWN, index=1).text


def test_event_without_blobs_gets_404(log: LogDirectory, loader: str) -> None:
    content, _ = encode(SHARED)
    summary = blob_summary(KNOWN["tag"], content, [b"blob", b"blob"])
    summary.value[0].tensor.dtype = 1  # DT_FLOAT, whose values are in another field than the bytes.
    with log.run("run") as writer:
        writer._get_file_writer().add_summary(summary, 1)
    with log.serve(loader) as client:
        assert get(client, "snapshots").status_code == 200
        assert get(client, "path", **KNOWN).status_code == 404


@pytest.fixture(scope="module", params=LOADERS)
def shared_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    log = LogDirectory(tmp_path_factory.mktemp("logs"))
    with log.run("run") as writer:
        write(writer, SHARED)
        write(writer, SIGNALS)
        writer.add_scalar("loss", 1.0, 0)
        writer.add_text("text", "not a scalar", 0)
    with log.serve(request.param) as client:
        yield client


SHARED = synthetic.snapshot(7, paths=2, path_steps=5)
SIGNALS = synthetic.snapshot(8, paths=2, path_steps=5, shape=(16,))
KNOWN = {"run": "run", "tag": tag_of(SHARED)}


@pytest.mark.parametrize(
    ("route", "parameters", "code"),
    [
        ("path", KNOWN, 200),
        ("path", KNOWN | {"index": "1"}, 200),
        ("path", KNOWN | {"index": "001"}, 200),
        ("path", KNOWN | {"index": "2"}, 404),
        ("path", KNOWN | {"index": "999999999"}, 404),
        ("path", KNOWN | {"index": "9" * 5000}, 400),
        ("path", KNOWN | {"index": "-1"}, 400),
        ("path", KNOWN | {"index": "1.0"}, 400),
        ("path", KNOWN | {"index": "+1"}, 400),
        ("path", KNOWN | {"index": " 1"}, 400),
        ("path", KNOWN | {"index": ""}, 400),
        ("path", KNOWN | {"index": "١"}, 400),
        ("path", KNOWN | {"run": "RUN"}, 404),
        ("path", KNOWN | {"run": ""}, 404),
        ("path", KNOWN | {"run": "../run"}, 404),
        ("path", KNOWN | {"run": "\x00"}, 404),
        ("path", KNOWN | {"run": b"\xff\xfe"}, 404),
        ("path", KNOWN | {"tag": "loss"}, 404),
        ("path", KNOWN | {"tag": ""}, 404),
        ("path", KNOWN | {"tag": "x" * 20_000}, 404),
        ("path", {"run": "run"}, 400),
        ("path", {"tag": tag_of(SHARED)}, 400),
        ("path", {}, 400),
        ("frames", KNOWN, 200),
        ("frames", KNOWN | {"index": "2"}, 404),
        ("frames", KNOWN | {"index": "x"}, 400),
        ("frames", KNOWN | {"tag": tag_of(SIGNALS)}, 404),
        ("frames", {}, 400),
        ("scalars", {"run": "run", "tag": "loss"}, 200),
        ("scalars", {"run": "run", "tag": "nothing"}, 404),
        ("scalars", {"run": "nothing", "tag": "loss"}, 404),
        ("scalars", KNOWN, 404),
        ("scalars", {"run": "run", "tag": "text/text_summary"}, 404),
        ("scalars", {"run": "run"}, 400),
        ("snapshots", {"anything": "else"}, 200),
        ("nothing", {}, 404),
    ],
)
def test_unknown_parameters_get_404_and_malformed_ones_400(
    shared_client: Client, route: str, parameters: dict[str, Any], code: int
) -> None:
    response = get(shared_client, route, **parameters)
    assert response.status_code == code, response.text[:500]
    if code != 200 and route != "nothing":
        assert response.content_type.startswith("text/plain")
        assert len(response.text) > 20


@pytest.mark.parametrize("loader", LOADERS)
def test_empty_log_directory_has_no_runs_and_an_inactive_tab(
    log: LogDirectory, loader: str
) -> None:
    log.path.mkdir()
    with log.serve(loader) as client:
        assert get_json(client, "snapshots") == {"runs": [], "runs_omitted": 0}
        listing = json.loads(client.get("/data/plugins_listing").text)
    assert listing["leaf"]["enabled"] is False
    assert listing["leaf"]["tab_name"] == "LEAF"
    assert listing["leaf"]["disable_reload"] is False
    assert listing["leaf"]["loading_mechanism"] == {
        "type": "IFRAME",
        "module_path": "/data/plugin/leaf/index.js",
    }


def write_snapshot(writer: Any) -> None:
    write(writer, synthetic.snapshot())


def write_monitor(writer: Any) -> None:
    write_scalars(writer, range(1), prefix="anything/else")


def write_incomplete_monitor(writer: Any) -> None:
    writer.add_scalar("leaf/trace_mean", 1.0, 0)


def write_loss(writer: Any) -> None:
    writer.add_scalar("loss", 1.0, 0)


@pytest.mark.parametrize(
    ("contents", "active"),
    [
        (write_snapshot, True),
        (write_monitor, True),
        (write_incomplete_monitor, False),
        (write_loss, False),
    ],
)
def test_tab_is_active_with_snapshots_or_a_monitor(
    log: LogDirectory, loader: str, contents: Any, active: bool
) -> None:
    with log.run("run") as writer:
        contents(writer)
    with log.serve(loader) as client:
        listing = json.loads(client.get("/data/plugins_listing").text)
    assert listing["leaf"]["enabled"] is active


def test_routes_are_below_the_path_prefix(log: LogDirectory) -> None:
    with log.run("run") as writer:
        write(writer, SHARED)
    with log.serve("python", path_prefix="/some/static/prefix") as client:
        response = client.get("/some/static/prefix" + ROUTE + "path", query_string=KNOWN)
        assert response.status_code == 200
        assert client.get(ROUTE + "path", query_string=KNOWN).status_code == 404


def test_json_is_compressed_if_the_client_accepts_gzip(shared_client: Client) -> None:
    url = ROUTE + "snapshots"
    plain = shared_client.get(url)
    packed = shared_client.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.data) == plain.data


def test_write_flushes_the_summary(log: LogDirectory) -> None:
    snapshot: Snapshot = synthetic.snapshot()
    (value,) = summary_of(snapshot).value
    assert value.tag == "horizontal_path/000000001000-17979cfe362a0000"
    assert list(value.tensor.string_val) == encode(snapshot)[1]
    with log.run("run") as writer:
        write(writer, snapshot)
        # A reader finds the snapshot before the writer is closed.
        with log.provider("python") as provider:
            context = RequestContext()
            listed = provider.list_blob_sequences(context, experiment_id="", plugin_name="leaf")
    assert list(listed["run"]) == [value.tag]
