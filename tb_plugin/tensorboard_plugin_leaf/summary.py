"""Snapshots in event files: one tag and one step each, written without TensorFlow."""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from tensorboard_plugin_leaf.encoding import encode
from tensorboard_plugin_leaf.snapshot import PLUGIN_NAME, Snapshot, SnapshotScalars


def tag_of(snapshot: SnapshotScalars) -> str:
    """The tag of a snapshot, `<name>/<step>-<session>`.

    No two snapshots share one, so that TensorBoard's sampling within a tag drops none.
    """
    return f"{snapshot.name}/{snapshot.step:012d}-{snapshot.session}"


def summary_of(snapshot: Snapshot) -> Any:
    """The `Summary` protocol buffer of a snapshot: a sequence of blobs, one a path.

    Raises:
        SnapshotError: If a path is too large.
    """
    index, blobs = encode(snapshot)
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=index),
        # TensorBoard lists nothing that lacks a data class.
        data_class=summary_pb2.DATA_CLASS_BLOB_SEQUENCE,
    )
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(blobs))]
    )
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=blobs, tensor_shape=shape)
    value = summary_pb2.Summary.Value(tag=tag_of(snapshot), metadata=metadata, tensor=tensor)
    return summary_pb2.Summary(value=[value])


def write(writer: Any, snapshot: Snapshot) -> None:
    """Write a snapshot through torch's `SummaryWriter`, `logger.experiment` in Lightning.

    Raises:
        SnapshotError: If a path is too large.
    """
    # `_get_file_writer` reopens a writer that was closed, where `file_writer` is None;
    # `add_tensor` is no alternative, because it sets no data class.
    writer._get_file_writer().add_summary(summary_of(snapshot), snapshot.step)
    writer.flush()
