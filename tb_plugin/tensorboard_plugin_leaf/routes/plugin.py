"""The routes of the LEAF tab, described in ``http_api.md``.

Each route parses its parameters, reads from the store, and responds with the content that a pure
function returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tensorboard import context as tensorboard_context
from tensorboard import errors
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from tensorboard_plugin_leaf.routes.http_response import only_reading, respond
from tensorboard_plugin_leaf.routes.json_content import (
    path_json,
    scalars_content,
    snapshots_json,
    to_json,
)
from tensorboard_plugin_leaf.routes.parameters import context, path_key, required
from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME
from tensorboard_plugin_leaf.store.listing import Context
from tensorboard_plugin_leaf.store.log_store import LogStore

STATIC: Final = Path(__file__).parents[1] / "static"

# The module `mimetypes` uses settings of the operating system, which may declare JavaScript as
# plain text.
_MIME_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}

_YEAR_SECONDS: Final = 365 * 24 * 60 * 60

_NOT_BUILT: Final = """\
export function render() {
  document.body.textContent =
    "The page of the LEAF tab is not built. Run `python -m pip install -e tb_plugin` in the " +
    "repository, or install a wheel of tensorboard-plugin-leaf. Then reload this page.";
}
"""


class LeafPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """The backend of the LEAF tab.

    Args:
        context: The context that TensorBoard passes to every plugin.
    """

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._store = LogStore(context.data_provider, context.multiplexer)

    def get_plugin_apps(self) -> Mapping[str, Any]:
        """Return the routes below ``data/plugin/leaf``."""
        routes = {
            "/index.js": self._serve_index,
            "/static/*": self._serve_static,
            "/snapshots": self._serve_snapshots,
            "/path": self._serve_path,
            "/frames": self._serve_frames,
            "/scalars": self._serve_scalars,
        }
        return {
            route: wrappers.Request.application(only_reading(serve))
            for route, serve in routes.items()
        }

    def is_active(self) -> bool:
        """Return whether any run has snapshots or scalars of LEAF."""
        return self._store.has_data(Context(tensorboard_context.RequestContext(), ""))

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Return how TensorBoard loads the page."""
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name="LEAF", disable_reload=False
        )

    def _serve_index(self, request: wrappers.Request) -> wrappers.Response:
        index = STATIC / "index.js"
        content = index.read_bytes() if index.is_file() else _NOT_BUILT
        return respond(request, content, "text/javascript")

    def _serve_static(self, request: wrappers.Request) -> wrappers.Response:
        name = request.path.partition("/static/")[2]
        # The name is looked up among the existing files, so that `..` cannot leave the folder.
        files = {
            file.relative_to(STATIC).as_posix(): file
            for file in STATIC.rglob("*.*")
            if file.is_file()
        }
        mime_type = _MIME_TYPES.get(PurePosixPath(name).suffix)
        if name not in files or mime_type is None:
            raise errors.NotFoundError(f"static file {name!r}.")
        return respond(request, files[name].read_bytes(), mime_type)

    def _serve_snapshots(self, request: wrappers.Request) -> wrappers.Response:
        content = snapshots_json(self._store.runs(context(request)))
        return respond(request, content, "application/json")

    def _serve_path(self, request: wrappers.Request) -> wrappers.Response:
        content = self._store.path(context(request), path_key(request), path_json)
        return respond(request, content, "application/json")

    def _serve_frames(self, request: wrappers.Request) -> wrappers.Response:
        digest = request.args.get("digest")
        sheet = self._store.sheet(context(request), path_key(request), digest)
        response = respond(request, sheet, "image/png")
        if digest is not None:
            # The address contains a hash of the content, which therefore never changes.
            response.headers["Cache-Control"] = f"private, max-age={_YEAR_SECONDS}, immutable"
            del response.headers["Expires"]
        return response

    def _serve_scalars(self, request: wrappers.Request) -> wrappers.Response:
        run, tag = required(request, "run"), required(request, "tag")
        points = self._store.scalars(context(request), run, tag)
        return respond(request, to_json(scalars_content(points)), "application/json")
