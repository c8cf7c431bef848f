"""The series of LEAF in a log directory. Their list is complete even if an event is damaged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tensorboard.data.provider import RunTagFilter

from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME
from tensorboard_plugin_leaf.store.monitor_tags import monitor_tags

# By run and tag. `None` for an event that has a tag and no tensor.
Series = Mapping[str, Mapping[str, Any]]


class Context(NamedTuple):
    """The parts of a request that TensorBoard's data provider uses.

    Attributes:
        request: TensorBoard's request context.
        experiment_id: TensorBoard's experiment.
    """

    request: Any
    experiment_id: str


class SeriesLister:
    """List of the blob sequences and scalars of LEAF in a log directory.

    TensorBoard's Python loader keeps the tag of an event that has no tensor. Its data provider
    then raises ``KeyError`` for the whole list. In this case, every run and tag of the loader's
    multiplexer is listed separately.

    Args:
        data_provider: TensorBoard's data provider.
        multiplexer: The multiplexer of the Python loader. ``None`` for the Rust data server.
    """

    def __init__(self, data_provider: Any, multiplexer: Any) -> None:
        self._provider = data_provider
        self._multiplexer = multiplexer

    def blobs(self, context: Context) -> Series:
        """Return all blob sequences of LEAF."""
        return self._list(self._provider.list_blob_sequences, context, PLUGIN_NAME)

    def scalars(self, context: Context) -> Mapping[str, list[str]]:
        """Return the tags of LEAF's scalars, by run."""
        if self._multiplexer is None:
            listed = _request(self._provider.list_scalars, context, "scalars")
            return {run: monitor_tags(tags) for run, tags in listed.items()}
        # The data provider would go through all values of all scalars.
        names = self._multiplexer.PluginRunToTagToContent("scalars")
        return {
            run: [tag for tag in monitor_tags(tags) if self._has_values(run, tag)]
            for run, tags in names.items()
        }

    def is_scalar(self, run: str, tag: str) -> bool:
        """Return whether every event of a scalar declares one number.

        The Python loader allocates the declared size, for example for a tensor that declares one
        number repeated a billion times.
        """
        if self._multiplexer is None:
            return True
        return all(
            math.prod(dim.size for dim in event.tensor_proto.tensor_shape.dim) == 1
            for event in self._multiplexer.Tensors(run, tag)
        )

    def blob(self, context: Context, run: str, tag: str) -> Any:
        """Return one blob sequence of LEAF, or ``None`` if it is missing or cannot be read."""
        method = self._provider.list_blob_sequences
        return _list_one(method, context, PLUGIN_NAME, run, tag).get(tag)

    def _has_values(self, run: str, tag: str) -> bool:
        try:
            return bool(self._multiplexer.Tensors(run, tag))
        except KeyError:
            return False

    def _list(self, method: Callable[..., Series], context: Context, plugin: str) -> Series:
        try:
            return _request(method, context, plugin)
        except KeyError:
            if self._multiplexer is None:
                raise
        names = self._multiplexer.PluginRunToTagToContent(plugin)
        return {
            run: {
                name: series
                for tag in tags
                for name, series in _list_one(method, context, plugin, run, tag).items()
            }
            for run, tags in names.items()
        }


def _request(
    method: Callable[..., Series], context: Context, plugin: str, **filters: Any
) -> Series:
    return method(
        context.request, experiment_id=context.experiment_id, plugin_name=plugin, **filters
    )


def _list_one(
    method: Callable[..., Series], context: Context, plugin: str, run: str, tag: str
) -> Mapping[str, Any]:
    run_tag_filter = RunTagFilter(runs=[run], tags=[tag])
    try:
        return _request(method, context, plugin, run_tag_filter=run_tag_filter).get(run, {})
    except KeyError:
        return {tag: None}
