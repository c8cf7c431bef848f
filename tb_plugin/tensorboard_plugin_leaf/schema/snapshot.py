"""The type of a snapshot: the paths that one callback computed at one step of training."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from tensorboard_plugin_leaf.schema.fields import check_plain_fields, expect, lazy_description
from tensorboard_plugin_leaf.schema.path import PathIndex, PathRecord

PLUGIN_NAME: Final = "leaf"
SCHEMA_VERSION: Final = 1
KINDS: Final = ("horizontal", "prediction", "orthogonal")
LIKELIHOODS: Final = ("categorical", "bernoulli")

# The tag of a snapshot has twelve digits for the step.
MAX_STEP: Final = 10**12 - 1

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SESSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, eq=False)
class SnapshotScalars:
    """The strings and numbers of a snapshot, without its paths.

    Attributes:
        name: Name of the callback, such as ``"horizontal_path"``. It is the prefix of the tag.
        kind: ``"horizontal"``, ``"prediction"`` or ``"orthogonal"``.
        step: Number of optimizer steps.
        epoch: Number of completed epochs.
        reason: The trigger, such as ``"checkpoint"`` or ``"trace_return"``.
        session: Identifier of the call of ``fit`` that wrote the snapshot: 16 hexadecimal digits,
            larger than those of the sessions before it in the same run. A time in nanoseconds is
            larger only if the clock is not set back.
        session_start_step: Optimizer step at which the session started. The session supersedes
            snapshots of older sessions at this step or later, in the same run and of the same
            name.
        class_count: Number of classes or labels C. The rank of the local data matrix is at most
            C − 1 for exclusive classes, and C for independent labels.
        input_shape: Shape of one input of the model.
        scaled: Whether images are min-max scaled because the normalization of the inputs is
            unknown.
        likelihood: ``"categorical"`` for C exclusive classes, ``"bernoulli"`` for C independent
            labels, each with its own probability.
        frame_note: One sentence on what a frame shows, if that is not the whole input: for example
            some of the slices of a volume. Empty otherwise.
    """

    name: str
    kind: str
    step: int
    epoch: int
    reason: str
    session: str
    session_start_step: int
    class_count: int
    input_shape: tuple[int, ...]
    scaled: bool
    likelihood: str = field(default="categorical", kw_only=True)
    frame_note: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        check_plain_fields(self)
        letters = "letters, digits and any of _.-"
        expect(bool(_NAME.fullmatch(self.name)), "name", letters, repr(self.name))
        expect(self.kind in KINDS, "kind", f"one of {KINDS}", repr(self.kind))
        is_known = self.likelihood in LIKELIHOODS
        expect(is_known, "likelihood", f"one of {LIKELIHOODS}", repr(self.likelihood))
        expect(self.step <= MAX_STEP, "step", f"at most {MAX_STEP}", str(self.step))
        session = "16 hexadecimal digits, such as f'{time.time_ns():016x}'"
        expect(bool(_SESSION.fullmatch(self.session)), "session", session, repr(self.session))


@dataclass(frozen=True, eq=False)
class SnapshotIndex(SnapshotScalars):
    """The entry of a snapshot in the list of snapshots.

    Attributes:
        paths: One entry for each path.
    """

    paths: tuple[PathIndex, ...]


@dataclass(frozen=True, eq=False)
class Snapshot(SnapshotScalars):
    """The paths that one callback computed at one step of training.

    Attributes:
        paths: At least one path.

    Raises:
        SnapshotError: If there is no path, or a field has a wrong type or value.

    Example:
        >>> from tensorboard_plugin_leaf import Snapshot
        >>> from tensorboard_plugin_leaf.schema.example import example_path
        >>> snapshot = Snapshot(
        ...     name="horizontal_path",
        ...     kind="horizontal",
        ...     step=500,
        ...     epoch=1,
        ...     reason="checkpoint",
        ...     session="17979cfe362a0000",  # f"{time.time_ns():016x}"
        ...     session_start_step=0,
        ...     class_count=10,
        ...     input_shape=(1, 4, 4),
        ...     scaled=False,
        ...     paths=(example_path(),),
        ... )
        >>> snapshot.paths[0].status
        'reached'
    """

    paths: tuple[PathRecord, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        is_valid = isinstance(self.paths, tuple) and all(
            isinstance(path, PathRecord) for path in self.paths
        )
        expect(is_valid, "paths", "a tuple of PathRecord", lazy_description(self.paths))
        expect(len(self.paths) > 0, "paths", "at least one path", "none")
