"""The files of the page: content types, and no access to other files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard_plugin_leaf.routes import plugin
from werkzeug.test import Client, TestResponse

from tests.support.plugin.logs import LOADERS, LogDirectory


@pytest.fixture(scope="module", params=LOADERS)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    with LogDirectory(tmp_path_factory.mktemp("logs")).serve(request.param) as served:
        yield served


def get(client: Client, file: str) -> TestResponse:
    return client.get(f"/data/plugin/leaf/{file}")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "package" / "static"
    (folder / "fonts").mkdir(parents=True)
    (folder.parent / "secret.js").write_text("secret")
    (folder / "index.js").write_text("export function render() {}")
    (folder / "index.css").write_text("body {}")
    (folder / "index.js.map").write_text("{}")
    (folder / "fonts" / "a.woff2").write_bytes(b"font")
    (folder / "run.sh").write_text("unknown type")
    monkeypatch.setattr(plugin, "STATIC", folder)
    return folder


@pytest.mark.parametrize(
    ("file", "content_type"),
    [
        ("index.js", "text/javascript; charset=utf-8"),
        ("static/index.js", "text/javascript; charset=utf-8"),
        ("static/index.css", "text/css; charset=utf-8"),
        ("static/index.js.map", "application/json"),
        ("static/fonts/a.woff2", "font/woff2"),
    ],
)
def test_page_is_served_with_fixed_content_types(
    client: Client,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    content_type: str,
) -> None:
    # Some Windows registries declare this type.
    monkeypatch.setattr("mimetypes.guess_type", lambda *_, **__: ("text/plain", None))
    response = get(client, file)
    assert response.status_code == 200
    assert response.content_type == content_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.data == (bundle / file.removeprefix("static/")).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "fonts",
        "run.sh",
        "../secret.js",
        "%2e%2e/secret.js",
        "..%2fsecret.js",
        "fonts/../../secret.js",
        "..\\secret.js",
        "//etc/passwd",
        "",
        "%00.js",
    ],
)
def test_only_files_of_the_page_are_served(client: Client, bundle: Path, name: str) -> None:
    response = get(client, f"static/{name}")
    assert response.status_code == 404
    assert "secret" not in response.text.replace(name, "").replace("secret.js", "")


def test_page_that_is_not_built_says_how_to_build_it(client: Client, bundle: Path) -> None:
    built = get(client, "index.js").text
    (bundle / "index.js").unlink()
    response = get(client, "index.js")
    assert response.status_code == 200
    assert response.content_type.startswith("text/javascript")
    assert "export function render()" in response.text
    assert "pip install" in response.text
    assert "pip install" not in built
