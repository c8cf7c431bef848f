"""The routes of the LEAF tab; `http_api.md` describes them.

Each one reads its parameters, asks the store, and responds with what a pure function answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from tensorboard import context as tensorboard_context
from tensorboard import errors, plugin_util
from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

from tensorboard_plugin_leaf.answers import list_answer, path_answer, scalars_answer, to_json
from tensorboard_plugin_leaf.series import Context
from tensorboard_plugin_leaf.snapshot import PLUGIN_NAME, SnapshotError
from tensorboard_plugin_leaf.store import Store

STATIC: Final = Path(__file__).parent / "static"

# The module `mimetypes` asks the operating system, which may call JavaScript plain text.
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

_Serve = Callable[[wrappers.Request], wrappers.Response]

_METHODS: Final = ("GET", "HEAD")
_YEAR_SECONDS: Final = 365 * 24 * 60 * 60

_NOT_BUILT: Final = """\
export function render() {
  document.body.textContent =
    "The page of the LEAF tab has not been built. Run `python -m pip install -e tb_plugin` in " +
    "the repository, or install a wheel of tensorboard-plugin-leaf, and reload this page.";
}
"""


class _NotModified(wrappers.Response):
    """An answer without content that keeps its type, which TensorBoard demands of every answer."""

    def get_wsgi_headers(self, environ: Any) -> Any:
        headers = super().get_wsgi_headers(environ)
        headers["Content-Type"] = self.headers["Content-Type"]
        return headers


class LeafPlugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """The backend of the LEAF tab."""

    plugin_name = PLUGIN_NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._store = Store(context.data_provider, context.multiplexer)

    def get_plugin_apps(self) -> Mapping[str, Any]:
        """The routes below `data/plugin/leaf`."""
        routes = {
            "/index.js": self._serve_index,
            "/static/*": self._serve_static,
            "/snapshots": self._serve_snapshots,
            "/path": self._serve_path,
            "/frames": self._serve_frames,
            "/scalars": self._serve_scalars,
        }
        return {
            route: wrappers.Request.application(_read_only(serve))
            for route, serve in routes.items()
        }

    def is_active(self) -> bool:
        """Whether any run has something to show."""
        return self._store.has_data(Context(tensorboard_context.RequestContext(), ""))

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """How TensorBoard loads the page."""
        return base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name="LEAF", disable_reload=False
        )

    def _serve_index(self, request: wrappers.Request) -> wrappers.Response:
        index = STATIC / "index.js"
        content = index.read_bytes() if index.is_file() else _NOT_BUILT
        return _respond(request, content, "text/javascript")

    def _serve_static(self, request: wrappers.Request) -> wrappers.Response:
        name = request.path.partition("/static/")[2]
        # A look-up among the names that exist: no spelling of `..` can leave the folder.
        files = {file.relative_to(STATIC).as_posix(): file for file in STATIC.rglob("*.*")}
        mime_type = _MIME_TYPES.get(PurePosixPath(name).suffix)
        if name not in files or mime_type is None:
            raise errors.NotFoundError(f"static file {name!r}.")
        return _respond(request, files[name].read_bytes(), mime_type)

    def _serve_snapshots(self, request: wrappers.Request) -> wrappers.Response:
        return _respond_json(request, list_answer(self._store.runs(_context(request))))

    def _serve_path(self, request: wrappers.Request) -> wrappers.Response:
        run, tag, index = _run(request), _tag(request), _index(request)
        path = self._store.path(_context(request), run, tag, index)
        try:
            answer = path_answer(path)
        except SnapshotError as error:
            raise errors.NotFoundError(f"path {index} of snapshot {tag!r}. {error}") from error
        return _respond_json(request, to_json(answer))

    def _serve_frames(self, request: wrappers.Request) -> wrappers.Response:
        run, tag, index = _run(request), _tag(request), _index(request)
        sheet = self._store.sheet(_context(request), run, tag, index)
        response = _respond(request, sheet, "image/png")
        # A tag names its session to the nanosecond: its frames never change.
        response.headers["Cache-Control"] = f"private, max-age={_YEAR_SECONDS}, immutable"
        del response.headers["Expires"]
        return response

    def _serve_scalars(self, request: wrappers.Request) -> wrappers.Response:
        points = self._store.scalars(_context(request), _run(request), _tag(request))
        return _respond_json(request, to_json(scalars_answer(points)))


def _context(request: wrappers.Request) -> Context:
    return Context(plugin_util.context(request.environ), plugin_util.experiment_id(request.environ))


def _run(request: wrappers.Request) -> str:
    return _required(request, "run")


def _tag(request: wrappers.Request) -> str:
    return _required(request, "tag")


def _required(request: wrappers.Request, name: str) -> str:
    value = request.args.get(name)
    if value is None:
        raise errors.InvalidArgumentError(f"the parameter {name!r} is missing.")
    return value


def _index(request: wrappers.Request) -> int:
    text = request.args.get("index", "0")
    # `int` would take " 1", "+1", "1_0" and digits of other scripts.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise errors.InvalidArgumentError(f"'index' must be a whole number from 0, not {text!r}.")
    return int(text)


def _read_only(serve: _Serve) -> _Serve:
    def guarded(request: wrappers.Request) -> wrappers.Response:
        if request.method in _METHODS:
            return serve(request)
        text = f"This address is only read ({' or '.join(_METHODS)}), not {request.method!r:.20}."
        headers = [("Allow", ", ".join(_METHODS))]
        refusal: wrappers.Response = http_util.Respond(
            request, text, "text/plain", code=405, headers=headers
        )
        return refusal

    return guarded


def _respond_json(request: wrappers.Request, answer: str) -> wrappers.Response:
    return _respond(request, answer, "application/json")


def _respond(
    request: wrappers.Request, content: str | bytes, content_type: str
) -> wrappers.Response:
    data = content.encode() if isinstance(content, str) else content
    # Weak, because it is the same with and without compression.
    tag = hashlib.blake2b(data, digest_size=16).hexdigest()
    headers = {"ETag": f'W/"{tag}"'}
    response: wrappers.Response
    if request.if_none_match.contains_weak(tag):
        response = _NotModified(status=304, headers=headers, content_type=content_type)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-cache, must-revalidate"
    else:
        response = http_util.Respond(request, data, content_type, headers=headers.items())
    return response
