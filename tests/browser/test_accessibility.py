"""All states of the page pass the rules of axe-core: contrast, names, roles, landmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Frame
from tensorboard_plugin_leaf import encode, tag_of, write

from tests.browser.conftest import skip_or_fail
from tests.support.browser.leaf_tab import LeafTab
from tests.support.browser.training_curves import write_training_curves
from tests.support.plugin import synthetic
from tests.support.plugin.logs import LogDirectory, blob_summary
from tests.support.tensorboard_process import await_snapshots, tensorboard

Show = Callable[..., LeafTab]

# Violations of minor impact are ignored.
IMPACTS = ("moderate", "serious", "critical")
WIDTHS = (1280, 768)
LAST_TAG = "horizontal_path/000000003000-"

RUN_AXE = """
async () => {
  const {violations} = await axe.run({resultTypes: ["violations"]});
  return violations.flatMap(({id, impact, help, nodes}) =>
    nodes.map(({target, failureSummary}) => [impact, `${id} at ${target}: ${failureSummary}`]));
}
"""

# In a group of radio buttons, the Tab key reaches only the checked one.
NUMBER_CONTROLS = """
() => {
  const all = document.querySelectorAll("button, input, select, summary, [tabindex]");
  const isReached = (one) => !one.disabled && one.getAttribute("tabindex") !== "-1" &&
    (one.type !== "radio" || one.checked);
  return [...all].filter(isReached).map((one, i) => { one.dataset.number = i; }).length;
}
"""
FOCUSED = """
() => document.hasFocus() && document.activeElement.dataset.number !== undefined
  ? Number(document.activeElement.dataset.number) : null
"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The source code of axe-core."""
    try:
        package = resources.files("axe_playwright_python")
    except ModuleNotFoundError:
        skip_or_fail("no axe-core: install axe-playwright-python, which the extra `test` names")
    return (package / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def empty_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tensorboard(tmp_path_factory.mktemp("empty")) as url:
        yield url


@pytest.fixture(scope="module")
def curves_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a TensorBoard with training curves and without paths."""
    folder: Path = tmp_path_factory.mktemp("curves")
    with LogDirectory(folder).run("run") as writer:
        write_training_curves(writer)
    with tensorboard(folder) as url:
        yield url


@pytest.fixture(scope="module")
def damaged_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a TensorBoard with valid, damaged and newer snapshots."""
    folder: Path = tmp_path_factory.mktemp("damaged")
    snapshot = synthetic.snapshot(200)
    content, blobs = encode(snapshot)
    with LogDirectory(folder).run("run") as writer:
        write(writer, synthetic.snapshot(100))
        events = writer._get_file_writer()
        events.add_summary(blob_summary(tag_of(snapshot), content, [b"garbage", *blobs[1:]]), 200)
        events.add_summary(blob_summary("snapshot", b"{not JSON", blobs), 300)
        events.add_summary(blob_summary("newer", b'{"schema":2}', blobs), 400)
    with tensorboard(folder) as url:
        await_snapshots(url, 4)
        yield url


def leaf_frame(tab: LeafTab) -> Frame:
    (frame,) = [frame for frame in tab.page.frames if "plugin_entry" in frame.url]
    return frame


def violations(tab: LeafTab, axe: str) -> list[str]:
    """Return the violations that axe-core finds in the current state of the tab."""
    frame = leaf_frame(tab)
    frame.evaluate(axe)
    return [text for impact, text in frame.evaluate(RUN_AXE) if impact in IMPACTS]


def violations_in_all_modes(tab: LeafTab, axe: str) -> list[str]:
    """Return the violations in light and dark mode, on a wide and on a narrow screen."""
    all_violations = []
    for dark in (False, True):
        if dark:
            tab.choose_dark_mode()
        for width in WIDTHS:
            tab.page.set_viewport_size({"width": width, "height": 1000})
            mode = f"{'dark' if dark else 'light'}, {width} px"
            all_violations += [f"{mode}: {text}" for text in violations(tab, axe)]
    return all_violations


def test_path_is_accessible(show: Show, url: str, axe: str) -> None:
    tab = show(url).open(run="digits/sgd", tag=LAST_TAG).await_path()
    assert violations_in_all_modes(tab, axe) == []
    tab.get("frame").nth(5).hover()
    tab.get("tab-pairs").click()
    tab.legend("0").click()
    tab.get("path").get_by_test_id("save").click()
    assert violations_in_all_modes(tab, axe) == []


def test_comparison_of_runs_is_accessible(show: Show, url: str, axe: str) -> None:
    tab = show(url).open(run="digits/adam", tag="horizontal_path/000000002000-", rows="runs")
    tab.await_path()
    tab.get("row").nth(1).wait_for()
    assert violations_in_all_modes(tab, axe) == []


def test_zoomed_path_with_a_visible_link_is_accessible(show: Show, url: str, axe: str) -> None:
    steps = {"path-steps": "120-360", "training-steps": "0-1500"}
    tab = show(url).open(run="digits/sgd", tag=LAST_TAG, **steps).await_path()
    tab.frame.locator("body").evaluate("() => { document.execCommand = () => false; }")
    tab.get("copy-link").click()
    assert violations_in_all_modes(tab, axe) == []


@pytest.mark.parametrize("index", range(4))
def test_every_status_is_accessible(show: Show, url: str, axe: str, index: int) -> None:
    tab = show(url).open(run="digits/sgd", tag=LAST_TAG, index=str(index)).await_path()
    assert violations_in_all_modes(tab, axe) == []


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("colours", "horizontal_path"),
        ("signals", "horizontal_path"),
        ("colours", "labels"),
        ("predictions", "prediction_path"),
    ],
)
def test_colour_images_signals_labels_and_predictions_are_accessible(
    show: Show, url: str, axe: str, run: str, name: str
) -> None:
    tab = show(url).open(run=run, tag=f"{name}/000000000100-").await_path()
    assert violations_in_all_modes(tab, axe) == []


def test_training_without_paths_is_accessible(show: Show, curves_url: str, axe: str) -> None:
    tab = show(curves_url).open()
    tab.get("no-path").wait_for()
    tab.get("trace-chart").locator("canvas").wait_for()
    tab.get("trace-chart").locator(".u-over").hover()
    tab.get("tooltip").first.wait_for()
    assert violations_in_all_modes(tab, axe) == []


def test_empty_log_directory_is_accessible(show: Show, empty_url: str, axe: str) -> None:
    tab = show(empty_url).open()
    tab.get("empty").wait_for()
    assert violations_in_all_modes(tab, axe) == []


def test_damaged_and_newer_snapshots_are_accessible(show: Show, damaged_url: str, axe: str) -> None:
    tab = show(damaged_url).open(run="run", tag="path")
    tab.get("path-error").wait_for()
    tab.get("damaged").wait_for()
    assert violations_in_all_modes(tab, axe) == []
    # The plugin responds to damaged paths with 404, which the browser reports.
    assert all("404" in error for error in tab.errors)
    tab.errors.clear()


def test_loading_page_is_accessible(show: Show, url: str, axe: str) -> None:
    tab = show(url)
    tab.page.route("**/data/plugin/leaf/snapshots", lambda route: None)
    tab.open()
    tab.get("loading").wait_for()
    assert violations_in_all_modes(tab, axe) == []


def test_loading_path_is_accessible(show: Show, url: str, axe: str) -> None:
    tab = show(url)
    tab.page.route("**/data/plugin/leaf/path?*", lambda route: None)
    tab.open()
    tab.frame.get_by_text("Loading the path…").wait_for()
    assert violations_in_all_modes(tab, axe) == []


def test_errors_of_an_unreachable_server_are_accessible(show: Show, url: str, axe: str) -> None:
    tab = show(url).open().await_path()
    tab.page.route("**/data/plugin/leaf/*", lambda route: route.abort())
    tab.page.locator("app-header-reload button").first.click()
    tab.get("banner").wait_for()
    assert violations_in_all_modes(tab, axe) == []
    tab.page.unroute("**/data/plugin/leaf/*")
    tab.page.route("**/data/plugin/leaf/snapshots", lambda route: route.abort())
    tab.page.reload()
    tab.get("failed").wait_for()
    assert violations_in_all_modes(tab, axe) == []
    assert all("ERR_FAILED" in error for error in tab.errors)
    tab.errors.clear()


def test_tab_key_reaches_all_controls_in_reading_order(tab: LeafTab) -> None:
    """Press Tab from the first control until the focus leaves the iframe."""
    controls, reached = tab_order(tab)
    assert len(controls) > 30
    assert reached == controls
    tab.get("copy-link").evaluate("(button) => { button.tabIndex = 1; }")
    controls, reached = tab_order(tab)
    assert reached != controls


def tab_order(tab: LeafTab) -> tuple[list[int], list[int]]:
    """Return the numbers of all controls, and of those that Tab reaches, in its order."""
    count = leaf_frame(tab).evaluate(NUMBER_CONTROLS)
    tab.get("run-filter").focus()
    reached = []
    while (number := leaf_frame(tab).evaluate(FOCUSED)) is not None and len(reached) <= count:
        reached.append(number)
        tab.page.keyboard.press("Tab")
    return list(range(count)), reached


@pytest.mark.parametrize(
    ("sabotage", "rule"),
    [
        ("page => page.insertAdjacentHTML('afterbegin', '<button></button>')", "button-name"),
        (
            "page => { page.querySelector('h2').style.color = 'rgb(200 200 200)'; }",
            "color-contrast",
        ),
        ("page => page.querySelector('[role=option]').removeAttribute('role')", "aria-required"),
        ("page => page.querySelector('#smoothing').removeAttribute('id')", "label"),
        ("page => page.querySelector('main').setAttribute('role', 'presentation')", "landmark"),
    ],
)
def test_violations_are_detected(tab: LeafTab, axe: str, sabotage: str, rule: str) -> None:
    tab.frame.locator("leaf-page").evaluate(sabotage)
    assert any(text.startswith(rule) for text in violations(tab, axe))


@pytest.mark.parametrize(
    ("sabotage", "text"),
    [
        ("() => console.error('broken')", "broken"),
        ("() => { new Image().src = 'static/missing.png'; }", "404"),
        (
            "() => document.head.append(document.createRange().createContextualFragment("
            "'<script>0</script>'))",
            "Content Security Policy",
        ),
    ],
)
def test_errors_of_the_browser_are_recorded(tab: LeafTab, sabotage: str, text: str) -> None:
    assert tab.errors == []
    tab.frame.locator("html").evaluate(sabotage)
    tab.await_error(text)
    tab.errors.clear()
