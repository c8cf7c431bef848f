"""Read checkpoints without running code in them."""

from __future__ import annotations

import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_leaf.cli.failures import described
from lightning_leaf.errors import LeafError, message_of, shown, type_name

KEYS_SHOWN, KEY_SHOWN = 3, 200
MAX_STEP = 2**53
"""Charts and tables show steps as floating-point numbers."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        path: The file.
        weights: Parameters and buffers by name.
        hyper_parameters: Arguments of the LightningModule; empty if none are saved.
        step: The step at which the checkpoint was saved; None if unknown.
        content: Everything in the file.
    """

    path: Path
    weights: dict[str, Any]
    hyper_parameters: dict[str, Any]
    step: int | None
    content: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a Lightning checkpoint, or a file that contains only a state dict.

    It is read with ``torch.load(weights_only=True)``, which runs no code from the file.

    Raises:
        LeafError: If the file does not exist, cannot be read without running code, or contains no
            weights.
    """
    require_file(path)
    try:
        _require_uncompressed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except LeafError:
        raise
    except pickle.UnpicklingError as error:
        kind = re.search(r"GLOBAL (\S+) was not an allowed global", message_of(error))
        cause = f"it contains {kind[1][:200]}" if kind else described(error)
        raise LeafError(
            "Expected a checkpoint that torch.load(weights_only=True) can read, which runs no "
            f"code from the file; it cannot read {path} ({cause}). Save the checkpoint again with "
            "hyper-parameters that are numbers, strings, lists and dicts, or save only the state "
            "dict: torch.save(model.state_dict(), PATH)."
        ) from error
    except Exception as error:  # damaged files raise errors of any class, also RecursionError
        raise LeafError(
            f"Expected a checkpoint at {path}; it cannot be read ({described(error)}). The file is "
            "damaged or not a checkpoint."
        ) from error
    return _checked(path, content)


def require_file(path: Path) -> None:
    """Check that a checkpoint is a file; pipes and devices may have no end.

    Raises:
        LeafError: If it does not exist or is no regular file.
    """
    try:
        is_file, exists = path.is_file(), path.exists()
    except OSError as error:  # for example a name that is too long
        raise LeafError(
            f"--checkpoint expects existing files; {shown(str(path))} cannot be read "
            f"({error.strerror})."
        ) from error
    if not is_file:
        cause = "is not a regular file" if exists else "does not exist"
        raise LeafError(f"--checkpoint expects existing files; {path} {cause}.")


def _require_uncompressed(path: Path) -> None:
    """Check that an archive does not expand: torch.save stores every record as it is.

    Raises:
        LeafError: If records are compressed, or together are larger than the file.
        Exception: If the file begins as an archive but is none.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return  # a format of older versions, which are not archives
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    is_stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
    if not is_stored or sum(record.file_size for record in records) > path.stat().st_size:
        raise LeafError(
            f"Expected a checkpoint at {path} as torch.save writes it, without compression; it "
            "contains compressed or overlapping records. The file is damaged or not a checkpoint."
        )


def _checked(path: Path, content: Any) -> Checkpoint:
    """Check the content of a checkpoint, which may be anything.

    Raises:
        LeafError: If it contains no weights, or hyper-parameters that are no arguments.
    """
    weights = content.get("state_dict", content) if isinstance(content, dict) else None
    if (
        not isinstance(weights, dict)
        or not any(isinstance(value, Tensor) for value in weights.values())
        or not all(isinstance(name, str) for name in weights)
    ):
        raise LeafError(
            f"Expected {path} to be a Lightning checkpoint (with a 'state_dict') or a state dict; "
            f"it contains {_description(content)}."
        )
    hyper_parameters = content.get("hyper_parameters")
    hyper_parameters = {} if hyper_parameters is None else hyper_parameters
    if not isinstance(hyper_parameters, dict) or not all(
        isinstance(name, str) for name in hyper_parameters
    ):
        raise LeafError(
            f"Expected the hyper-parameters of {path} to be a dict with names of arguments; got "
            f"{shown(hyper_parameters)}. Save the checkpoint with save_hyperparameters(), or save "
            "only the state dict: torch.save(model.state_dict(), PATH)."
        )
    return Checkpoint(path, weights, hyper_parameters, _step(content), content)


def _step(content: dict[str, Any]) -> int | None:
    step = content.get("global_step")
    return step if type(step) is int and 0 <= step <= MAX_STEP else None


def some_names(keys: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(keys) - KEYS_SHOWN
    names = ", ".join(key[:KEY_SHOWN] for key in keys[:KEYS_SHOWN])
    return names + (f" and {more} more" if more > 0 else "")


def _description(content: Any) -> str:
    if isinstance(content, dict):
        names = sorted(name if isinstance(name, str) else shown(name) for name in content)
        return f"a dict with the keys {some_names(names) or '(none)'}"
    return f"an object of type {type_name(content)}"
