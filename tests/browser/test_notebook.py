"""The tab in a notebook: in an iframe of a page with another origin."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import FrameLocator, expect

from tests.support.browser.leaf_tab import LeafTab, missing

# The output of `%tensorboard` in a cell.
CELL = """<!doctype html>
<html lang="en"><head><title>Notebook</title><link rel="icon" href="data:,"></head>
<body><p>In [1]: %tensorboard --logdir logs</p>
<iframe id="tensorboard-frame-1" width="100%" height="800" frameborder="0"></iframe>
<script>document.querySelector("iframe").src = "URL";</script>
</body></html>"""


class NotebookTab(LeafTab):
    """The LEAF tab of a TensorBoard in a cell of a notebook."""

    @property
    def host(self) -> FrameLocator:
        """The iframe of TensorBoard."""
        return self.page.frame_locator("#tensorboard-frame-1")

    @property
    def frame(self) -> FrameLocator:
        return self.host.frame_locator("iframe[src*=plugin_entry]")

    def open(self, **view: str) -> NotebookTab:
        self.page.goto(self.url)
        self.host.get_by_role("tab", name="LEAF").click()
        return self

    def choose_dark_mode(self) -> None:
        self.host.locator("body").evaluate("(body) => body.classList.add('dark-mode')")
        self.frame.locator("html.dark").wait_for()

    def await_address(self, part: str) -> None:
        """Wait until the URL of TensorBoard contains `part`, and the view is a history entry."""
        host = self.page.locator("#tensorboard-frame-1").element_handle().content_frame()
        assert host is not None
        host.wait_for_function("(part) => location.hash.includes(part)", arg=part)


@pytest.fixture(scope="module")
def notebook_url(url: str) -> Iterator[str]:
    class Notebook(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(CELL.replace("URL", url).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Notebook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def notebook(show: Callable[..., LeafTab], notebook_url: str) -> NotebookTab:
    tab = show(notebook_url, kind=NotebookTab).open().await_path()
    assert isinstance(tab, NotebookTab)
    tab.get("run-digits/sgd").get_by_role("button").click()
    tab.get("pair-3").wait_for()
    tab.await_path()
    tab.await_address("run=digits")
    return tab


def test_page_of_the_notebook_is_not_accessible(notebook: NotebookTab) -> None:
    """All tests of this module rely on this."""
    read = "() => { try { return parent.parent.location.href; } catch { return 'denied'; } }"
    assert notebook.frame.locator("body").evaluate(read) == "denied"
    assert notebook.frame.locator("body").evaluate(read.replace("parent.parent", "parent")) != (
        "denied"
    )


def test_path_is_shown_and_the_cursor_moves(notebook: NotebookTab, url: str) -> None:
    steps = [int(frame.get_attribute("data-step") or -1) for frame in notebook.get("frame").all()]
    notebook.get("scrubber").press("End")
    notebook.await_cursor(steps[-1])
    notebook.get("frame").nth(3).hover()
    notebook.await_current_frame(steps[3])
    notebook.choose_dark_mode()
    notebook.url, outer = url, notebook.url
    assert missing(notebook) == []
    notebook.url = outer


def test_history_navigation_stays_in_the_notebook(notebook: NotebookTab) -> None:
    notebook.page.evaluate("window.isSame = true")
    titles = [notebook.get("path-title").inner_text()]
    for pair in (1, 2):
        notebook.get(f"pair-{pair}").click()
        expect(notebook.get("path-title")).not_to_have_text(titles[-1])
        titles.append(notebook.get("path-title").inner_text())
        notebook.await_address(f"index={pair}")
    for title in reversed(titles[:-1]):
        notebook.page.evaluate("history.back()")
        expect(notebook.get("path-title")).to_have_text(title)
    notebook.page.evaluate("history.forward()")
    expect(notebook.get("path-title")).to_have_text(titles[1])
    assert notebook.page.url == notebook.url
    assert notebook.page.title() == "Notebook"
    assert notebook.page.evaluate("window.isSame") is True


def test_link_leads_to_tensorboard(notebook: NotebookTab, url: str) -> None:
    notebook.get("copy-link").click()
    expect(notebook.get("copy-link")).to_contain_text("copied")
    notebook.page.context.grant_permissions(["clipboard-read"])
    link = notebook.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{url}#leaf&p.leaf.run=")


def test_link_is_shown_if_copying_is_not_allowed(notebook: NotebookTab, url: str) -> None:
    notebook.frame.locator("body").evaluate("() => { document.execCommand = () => false; }")
    notebook.get("copy-link").click()
    expect(notebook.get("link")).to_be_focused()
    expect(notebook.get("copy-manually")).to_contain_text("Press Ctrl+C")
    assert notebook.get("link").input_value().startswith(f"{url}#leaf&p.leaf.run=")
    notebook.page.keyboard.press("Escape")
    expect(notebook.get("link")).to_have_count(0)
    expect(notebook.get("copy-link")).to_be_focused()


def test_clipboard_api_logs_an_error(notebook: NotebookTab) -> None:
    notebook.frame.locator("body").evaluate(
        "() => navigator.clipboard.writeText('link').catch(() => {})"
    )
    notebook.await_error("Permissions policy")
    notebook.errors.clear()
