"""The settings of a table: everything on which its values depend, as JSON."""

from __future__ import annotations

import json
from typing import Any, get_args

from lightning_leaf.errors import LeafError, shown
from lightning_leaf.geometry.rank_kinds import RANK_KINDS
from lightning_leaf.model.likelihood import Likelihood
from lightning_leaf.predict.columns import (
    ColumnTypes,
    TableKind,
    input_column_types,
    path_column_types,
)

SCHEMA_VERSION = 2
READABLE_VERSIONS = (1, SCHEMA_VERSION)
"""Tables of version 1 do not identify their data and hyper-parameters: they are not resumed."""
MAX_BYTES = 8 * 2**20
"""Largest size of the settings as JSON: 100 000 class names of 80 letters."""
DIFFERENCES_SHOWN = 5
NOTES = {
    "data": " (a digest of the first, middle and last example, which random transforms change)",
    "positions": " (a digest of the pairs, or of the indices of a Subset)",
}
"""What settings mean whose names do not tell it."""


class Settings:
    """The settings of a table, in ``measurement.json`` and in the metadata of each of its files.

    Args:
        values: The settings as JSON data.

    Raises:
        ValueError: If they are no JSON data.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        try:
            # Compared as text: NaN differs from itself, and deep data cannot be compared.
            self._texts = {
                name: json.dumps(value, sort_keys=True) for name, value in values.items()
            }
        except (RecursionError, TypeError) as error:
            raise ValueError(str(error)) from error
        self._values = values

    @classmethod
    def parse(cls, content: bytes) -> Settings:
        """Read settings from JSON.

        Raises:
            ValueError: If the content is not a JSON object, or is nested too deeply.
        """
        try:
            values = json.loads(content)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deeply") from error
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object; got {type(values).__name__}")
        return cls(values)

    def to_json(self, indent: int | None = None) -> bytes:
        """Return the settings as JSON.

        Raises:
            LeafError: If they are larger than 8 MB.
        """
        content = json.dumps(self._values, indent=indent).encode()
        if len(content) > MAX_BYTES:
            raise LeafError(
                f"The settings of a table expect at most {MAX_BYTES:,} bytes of JSON; got "
                f"{len(content):,}. Measure without class_names."
            )
        return content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._texts == other._texts

    __hash__ = None  # type: ignore[assignment]

    def differences(self, other: Settings) -> str:
        """Describe how other settings differ: ``ranks was ['entropy'] and is ['stable']``."""
        names = sorted(
            name
            for name in self._texts.keys() | other._texts.keys()
            if self._texts.get(name) != other._texts.get(name)
        )
        descriptions = [
            f"{shown(name)[1:-1]} was {shown(self._values.get(name))} and is "
            f"{shown(other._values.get(name))}{NOTES.get(name, '')}"
            for name in names[:DIFFERENCES_SHOWN]
        ]
        more = len(names) - len(descriptions)
        return "; ".join(descriptions) + (f"; and {more} more" if more else "")

    @property
    def inputs(self) -> int:
        """Number of rows of the complete table.

        Raises:
            LeafError: If it is not a whole number.
        """
        return self._whole_number("inputs")

    def _whole_number(self, name: str, default: int | None = None) -> int:
        number = self._values.get(name, default)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63:
            raise LeafError(
                f"The settings of a table expect a whole number as {name}; got {shown(number)}."
            )
        return number

    @property
    def is_of_earlier_version(self) -> bool:
        """Whether an earlier version has written the table, so that it cannot be resumed."""
        return self._values.get("schema_version") in READABLE_VERSIONS[:-1]

    @property
    def column_types(self) -> ColumnTypes:
        """The columns of the table and their types.

        Raises:
            LeafError: If the settings are none of a table of this version.
        """
        values = self._values
        task, likelihood = values.get("task"), values.get("likelihood", "categorical")
        ranks = values.get("ranks", [])
        if (
            values.get("schema_version") in READABLE_VERSIONS
            and likelihood in get_args(Likelihood)
            and isinstance(ranks, list)
            and all(rank in RANK_KINDS for rank in ranks)
        ):
            if task == "inputs":
                return input_column_types(ranks, likelihood)
            for kind in get_args(TableKind):
                if task == f"{kind} paths":
                    return path_column_types(kind, likelihood)
        raise LeafError(
            f"The settings of a table expect schema_version 1 or {SCHEMA_VERSION} and a task, "
            "ranks and likelihood of this version; got "
            + ", ".join(
                f"{name} {shown(values.get(name))}"
                for name in ("schema_version", "task", "ranks", "likelihood")
            )
            + "."
        )

    @property
    def longest_lists(self) -> dict[str, int | None]:
        """Largest number of values of a row, by the name of the column; None if unknown.

        Raises:
            LeafError: If the settings are none of a table of this version.
        """
        names = self._values.get("class_names")
        most: dict[str, int | None] = {
            "eigenvalues": self._whole_number("eigenvalues", 0),
            "labels": len(names) if isinstance(names, list) and names else None,
        }
        return {
            column: most["eigenvalues" if column == "eigenvalues" else "labels"]
            if kind.startswith("list")
            else 1
            for column, kind in self.column_types.items()
        }
