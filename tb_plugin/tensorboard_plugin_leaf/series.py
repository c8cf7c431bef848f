"""What TensorBoard's data provider lists, where one damaged event must not hide the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.snapshot import PLUGIN_NAME

# By run and tag; None where an event has a name and nothing else.
Series = Mapping[str, Mapping[str, Any]]


class Context(NamedTuple):
    """On whose behalf data is read: TensorBoard's request context and experiment."""

    request: Any
    experiment_id: str


class SeriesLister:
    """Lists blob sequences of LEAF, and scalars.

    The Python loader keeps the name of an event before its tensor, and without one if there is
    none. Listing then raises `KeyError` for all runs and tags together. This asks once more for
    each of them, with the names that the loader's multiplexer knows.
    """

    def __init__(self, data_provider: Any, multiplexer: Any) -> None:
        self._provider = data_provider
        self._multiplexer = multiplexer

    def blobs(self, context: Context) -> Series:
        """All blob sequences of LEAF."""
        return self._list(self._provider.list_blob_sequences, context, PLUGIN_NAME)

    def scalars(self, context: Context) -> Series:
        """All scalars."""
        return self._list(self._provider.list_scalars, context, "scalars")

    def is_scalar(self, run: str, tag: str) -> bool:
        """Whether every event of a scalar says that it holds one number.

        The Python loader believes a tensor that claims to be a billion times the same number.
        """
        if self._multiplexer is None:
            return True
        return all(
            math.prod(dim.size for dim in event.tensor_proto.tensor_shape.dim) == 1
            for event in self._multiplexer.Tensors(run, tag)
        )

    def blob(self, context: Context, run: str, tag: str) -> Any:
        """One blob sequence of LEAF, or `None` if there is none that can be read."""
        listed = self._provider.list_blob_sequences
        return _one(listed, context, PLUGIN_NAME, run, tag).get(tag)

    def _list(self, method: Callable[..., Series], context: Context, plugin: str) -> Series:
        try:
            return _ask(method, context, plugin)
        except KeyError:
            if self._multiplexer is None:
                raise
        names = self._multiplexer.PluginRunToTagToContent(plugin)
        return {
            run: {
                name: series
                for tag in tags
                for name, series in _one(method, context, plugin, run, tag).items()
            }
            for run, tags in names.items()
        }


def _ask(method: Callable[..., Series], context: Context, plugin: str, **filters: Any) -> Series:
    return method(
        context.request, experiment_id=context.experiment_id, plugin_name=plugin, **filters
    )


def _one(
    method: Callable[..., Series], context: Context, plugin: str, run: str, tag: str
) -> Mapping[str, Any]:
    one = RunTagFilter(runs=[run], tags=[tag])
    try:
        return _ask(method, context, plugin, run_tag_filter=one).get(run, {})
    except KeyError:
        return {tag: None}
