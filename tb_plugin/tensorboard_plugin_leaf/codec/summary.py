"""Snapshots as summaries in event files, written without TensorFlow.

Each snapshot has a unique tag with one step.
"""

from __future__ import annotations

from typing import Any

from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2

from tensorboard_plugin_leaf.codec.snapshot_codec import encode
from tensorboard_plugin_leaf.schema.snapshot import PLUGIN_NAME, Snapshot, SnapshotScalars


def tag_of(snapshot: SnapshotScalars) -> str:
    """Return the tag of a snapshot, ``<name>/<step>-<session>``.

    The tags of two snapshots differ. TensorBoard samples the steps of a tag, therefore it drops no
    snapshot.

    Example:
        >>> from tensorboard_plugin_leaf import tag_of
        >>> from tensorboard_plugin_leaf.schema.example import example_snapshot
        >>> tag_of(example_snapshot())
        'horizontal_path/000000000500-17979cfe362a0000'
    """
    return f"{snapshot.name}/{snapshot.step:012d}-{snapshot.session}"


def summary_of(snapshot: Snapshot) -> Any:
    """Return the ``Summary`` protocol buffer of a snapshot: a sequence of blobs, one for each path.

    Args:
        snapshot: The snapshot to write.

    Raises:
        SnapshotError: If a path is too large.

    Example:
        >>> from tensorboard_plugin_leaf import summary_of
        >>> from tensorboard_plugin_leaf.schema.example import example_snapshot
        >>> (value,) = summary_of(example_snapshot()).value
        >>> value.metadata.plugin_data.plugin_name
        'leaf'
    """
    index, blobs = encode(snapshot)
    metadata = summary_pb2.SummaryMetadata(
        plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=index),
        # TensorBoard lists only summaries that have a data class.
        data_class=summary_pb2.DATA_CLASS_BLOB_SEQUENCE,
    )
    shape = tensor_shape_pb2.TensorShapeProto(
        dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(blobs))]
    )
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=blobs, tensor_shape=shape)
    value = summary_pb2.Summary.Value(tag=tag_of(snapshot), metadata=metadata, tensor=tensor)
    return summary_pb2.Summary(value=[value])


def write(writer: Any, snapshot: Snapshot) -> None:
    """Write a snapshot to an event file.

    Args:
        writer: A ``torch.utils.tensorboard.SummaryWriter``, in Lightning
            ``TensorBoardLogger.experiment``.
        snapshot: The snapshot to write.

    Raises:
        SnapshotError: If a path is too large.

    Example:
        >>> import tempfile
        >>> from torch.utils.tensorboard import SummaryWriter
        >>> from tensorboard_plugin_leaf import write
        >>> from tensorboard_plugin_leaf.schema.example import example_snapshot
        >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        ...     write(writer, example_snapshot())
    """
    # `_get_file_writer` reopens a closed writer, whose `file_writer` is None. `add_tensor` cannot
    # be used, because it sets no data class.
    writer._get_file_writer().add_summary(summary_of(snapshot), snapshot.step)
    writer.flush()
