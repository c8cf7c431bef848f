"""Dataclass fields as JSON with a schema version."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any, Final, cast

from tensorboard_plugin_leaf.schema.errors import NewerSchemaError, SnapshotError
from tensorboard_plugin_leaf.schema.path import PathScalars
from tensorboard_plugin_leaf.schema.snapshot import SCHEMA_VERSION, SnapshotScalars

# Malicious JSON becomes Python objects of about 25 times its size.
MAX_JSON_BYTES: Final = 2**20


def to_json_fields(record: PathScalars | SnapshotScalars, kind: type) -> dict[str, Any]:
    """Return the fields of the dataclass ``kind`` in ``record`` as JSON values."""
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: to_json_number(getattr(record, name)) for name in names}


def from_json_fields(values: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return the arguments of the dataclass ``kind``; the inverse of :func:`to_json_fields`.

    Fields with a default value may be missing: older versions of LEAF did not have them.
    """
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.name not in values and field.default is not dataclasses.MISSING:
            continue
        value = values[field.name]
        if field.type == "float":
            value = float(value)
        elif str(field.type).startswith("tuple"):
            value = tuple(value)
        arguments[field.name] = value
    return arguments


def to_json_number(value: Any) -> Any:
    """Return ``value``, or its name (``"nan"``, ``"inf"``) if it is a float that is not finite.

    Strict JSON has no NaN and no infinity. ``float`` reads the names.
    """
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def dump(values: dict[str, Any]) -> bytes:
    """Return ``values`` and the schema version as JSON.

    Raises:
        SnapshotError: If the JSON is larger than ``MAX_JSON_BYTES``.
    """
    versioned = values | {"schema": SCHEMA_VERSION}
    content = json.dumps(versioned, separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(content) > MAX_JSON_BYTES:
        raise SnapshotError(
            f"expected at most {MAX_JSON_BYTES} bytes for all names together, got {len(content)}. "
            "Keep fewer paths, or use shorter names for the classes."
        )
    return content


def load(content: bytes) -> dict[str, Any]:
    """Return the values of JSON that :func:`dump` wrote.

    Raises:
        SnapshotError: If the JSON is too large, has no schema version, or has a newer one. Errors
            of ``json.loads`` are not converted.
    """
    if len(content) > MAX_JSON_BYTES:
        raise SnapshotError(f"expected at most {MAX_JSON_BYTES} bytes of JSON, got {len(content)}.")
    values = json.loads(content)
    if not isinstance(values, dict) or not isinstance(values.get("schema"), int):
        raise SnapshotError("expected JSON with a schema version, got none.")
    if values["schema"] > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"It was written by a newer version of LEAF (schema {values['schema']!r:.20}). This "
            f"plugin reads schemas up to {SCHEMA_VERSION}. To read it, upgrade the plugin with "
            "`pip install -U tensorboard-plugin-leaf` and restart TensorBoard."
        )
    return cast(dict[str, Any], values)
