"""The query parameters of a request."""

from __future__ import annotations

from tensorboard import errors, plugin_util
from werkzeug import wrappers

from tensorboard_plugin_leaf.store.blobs import PathKey
from tensorboard_plugin_leaf.store.listing import Context


def context(request: wrappers.Request) -> Context:
    """Return the parts of the request that the data provider uses."""
    return Context(plugin_util.context(request.environ), plugin_util.experiment_id(request.environ))


def required(request: wrappers.Request, name: str) -> str:
    """Return the value of the parameter ``name``.

    Raises:
        tensorboard.errors.InvalidArgumentError: If it is missing.
    """
    value = request.args.get(name)
    if value is None:
        raise errors.InvalidArgumentError(f"the parameter {name!r} is missing.")
    return value


def path_key(request: wrappers.Request) -> PathKey:
    """Return the path that the parameters ``run``, ``tag`` and ``index`` identify.

    Raises:
        tensorboard.errors.InvalidArgumentError: If ``run`` or ``tag`` is missing.
    """
    return PathKey(required(request, "run"), required(request, "tag"), _index(request))


def _index(request: wrappers.Request) -> int:
    """Return the value of the parameter ``index``, 0 if it is missing.

    Raises:
        tensorboard.errors.InvalidArgumentError: If it is not an integer ≥ 0 of at most 9 digits.
    """
    text = request.args.get("index", "0")
    # `int` also accepts " 1", "+1", "1_0" and digits of other scripts.
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise errors.InvalidArgumentError(
            f"'index': expected an integer >= 0 of at most 9 digits, got {text!r:.80}."
        )
    return int(text)
