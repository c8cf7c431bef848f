"""Log directories with event files, and the plugin that serves them through either loader."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard.backend.application import TensorBoardWSGI
from tensorboard.backend.event_processing.data_ingester import (
    DEFAULT_SIZE_GUIDANCE,
    DEFAULT_TENSOR_SIZE_GUIDANCE,
)
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.context import RequestContext
from tensorboard.data.server_ingester import SubprocessServerDataIngester, get_server_binary
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.util.grpc_util import ChannelCredsType
from tensorboard_plugin_leaf.routes.plugin import LeafPlugin
from torch.utils.tensorboard import SummaryWriter
from werkzeug.test import Client

from tests.support.tensorboard_process import HANG_SECONDS

LOADERS = ("python", "rust")


class LogDirectory:
    """A log directory, with one event file for each call of :meth:`run`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ends: set[tuple[str, str]] = set()

    @contextmanager
    def run(self, name: str) -> Iterator[SummaryWriter]:
        """Yield a writer of a new event file in the run ``name``."""
        writer = SummaryWriter(str(self.path / name))
        yield writer
        # The Rust server loads in the background, and has finished when it lists the last event.
        end = f"end/{len(self._ends)}"
        writer.add_scalar(end, 1.0, 0)
        self._ends.add((name, end))
        file = Path(writer._get_file_writer().event_writer._file_name)
        writer.close()
        # Loaders read files in the order of their names. By default, two files written within one
        # second have the same name up to the end.
        file.rename(file.with_name(f"events.out.tfevents.{len(self._ends):010d}.test"))

    @contextmanager
    def provider(self, loader: str) -> Iterator[Any]:
        """Yield a data provider of the event files written so far."""
        if loader == "python":
            multiplexer = EventMultiplexer(
                size_guidance=DEFAULT_SIZE_GUIDANCE,
                tensor_size_guidance=DEFAULT_TENSOR_SIZE_GUIDANCE,
            )
            multiplexer.AddRunsFromDirectory(str(self.path))
            multiplexer.Reload()
            yield MultiplexerDataProvider(multiplexer, str(self.path))
            return
        ingester = SubprocessServerDataIngester(
            get_server_binary(),
            str(self.path),
            reload_interval=0,
            channel_creds_type=ChannelCredsType.LOCAL,
        )
        with warnings.catch_warnings():
            # TensorBoard does not wait for the process that it starts.
            warnings.simplefilter("ignore", ResourceWarning)
            ingester.start()
        try:
            self._await_ends(ingester.data_provider)
            yield ingester.data_provider
        finally:
            ingester._stdin_handle.close()

    def _await_ends(self, provider: Any) -> None:
        deadline = time.monotonic() + HANG_SECONDS
        while True:
            listed = provider.list_scalars(
                RequestContext(), experiment_id="", plugin_name="scalars"
            )
            if self._ends <= {(run, tag) for run, tags in listed.items() for tag in tags}:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"The data server loaded {listed} instead of {self._ends}.")
            time.sleep(0.02)

    @contextmanager
    def serve(self, loader: str, path_prefix: str = "") -> Iterator[Client]:
        """Yield a client of TensorBoard with the plugin, which serves this directory."""
        with self.provider(loader) as provider:
            # TensorBoard also passes its multiplexer to plugins. The Rust server has none.
            multiplexer = getattr(provider, "_multiplexer", None)
            context = TBContext(
                data_provider=provider, logdir=str(self.path), multiplexer=multiplexer
            )
            plugin = LeafPlugin(context)
            yield Client(TensorBoardWSGI([plugin], path_prefix, data_provider=provider))


def blob_summary(tag: str, content: bytes, blobs: list[bytes]) -> Any:
    """Return a summary of the plugin with arbitrary bytes, to write damaged snapshots."""
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="leaf", content=content),
        data_class=summary_pb2.DATA_CLASS_BLOB_SEQUENCE,
    )
    size = tensor_shape_pb2.TensorShapeProto.Dim(size=len(blobs))
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        string_val=blobs,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[size]),
    )
    value = summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
    return summary_pb2.Summary(value=[value])
