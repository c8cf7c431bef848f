"""HTTP responses with a cache validator, and the check of the request method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

from tensorboard.backend import http_util
from werkzeug import wrappers

METHODS: Final = ("GET", "HEAD")

Serve = Callable[[wrappers.Request], wrappers.Response]


class _NotModified(wrappers.Response):
    """A response 304, without content, that keeps its ``Content-Type``.

    TensorBoard requires this header in every response. werkzeug removes it from a 304.
    """

    def get_wsgi_headers(self, environ: Any) -> Any:
        headers = super().get_wsgi_headers(environ)
        headers["Content-Type"] = self.headers["Content-Type"]
        return headers


def respond(
    request: wrappers.Request, content: str | bytes, content_type: str
) -> wrappers.Response:
    """Return a response with ``content``, or 304 if the client has the same content.

    The response has a weak ``ETag``, a hash of the content.
    """
    data = content.encode() if isinstance(content, str) else content
    # The tag is weak, because it is the same with and without compression.
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


def only_reading(serve: Serve) -> Serve:
    """Restrict a route to the methods ``GET`` and ``HEAD``. Others get 405."""

    def guarded(request: wrappers.Request) -> wrappers.Response:
        if request.method in METHODS:
            return serve(request)
        text = f"Expected the method {' or '.join(METHODS)}, got {request.method!r:.20}."
        headers = [("Allow", ", ".join(METHODS))]
        response: wrappers.Response = http_util.Respond(
            request, text, "text/plain", code=405, headers=headers
        )
        return response

    return guarded
