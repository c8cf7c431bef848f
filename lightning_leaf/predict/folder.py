"""A folder of measurements: what they are of, and the parts of one table."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from lightning_leaf.errors import LeafError
from lightning_leaf.predict.columns import Rows

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
MANIFEST = "measurement.json"
METADATA_KEY = b"lightning_leaf"
TEMPORARY = ".tmp"


class MeasurementFolder:
    """One table in many Parquet files, and ``measurement.json``, which says what it is of.

    A file appears under its name once it is whole. Files are named after the first position in
    them, so that no two processes ever write the same.

    Args:
        path: Made when the first thing is written.

    Raises:
        ModuleNotFoundError: If pyarrow is not installed, with the command that installs it.
    """

    def __init__(self, path: str | Path) -> None:
        _arrow()
        self.path = Path(path)

    def open(self, terms: dict[str, Any]) -> None:
        """Begin a table, or go on with one of the same terms. All processes may do so at once.

        Args:
            terms: What decides its numbers, as JSON has it.

        Raises:
            LeafError: If the folder holds something else, or cannot be written to.
        """
        terms = {"schema_version": SCHEMA_VERSION} | json.loads(json.dumps(terms))
        there = self.terms()
        if there is None:
            if self.parts():
                raise LeafError(
                    f"{self.path} is expected to be empty or to hold measurements; it holds parts "
                    f"of a table, but no {MANIFEST} that says of what. Give another folder."
                )
            self._write(MANIFEST, lambda file: file.write(json.dumps(terms, indent=2).encode()))
        elif there != terms:
            differences = [
                f"{name} was {there.get(name)!r} and is {terms.get(name)!r}"
                for name in sorted(there.keys() | terms.keys())
                if there.get(name) != terms.get(name)
            ]
            raise LeafError(
                f"{self.path} holds other measurements: {'; '.join(differences)}. Nothing was "
                "changed. Give another folder, or the same settings, checkpoint and data to go on."
            )

    def terms(self) -> dict[str, Any] | None:
        """What the table is of; None where none was begun.

        Raises:
            LeafError: If it cannot be told.
        """
        file = self.path / MANIFEST
        try:
            terms = json.loads(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise LeafError(
                f"{file} is expected to say in JSON what is measured here; it cannot be read "
                f"({error}). Give another folder."
            ) from error
        if not isinstance(terms, dict):
            raise LeafError(f"{file} is expected to hold an object; got {type(terms).__name__}.")
        return terms

    def parts(self) -> list[Path]:
        """The files of the table, by their first position."""
        return sorted(self.path.glob("part-*.parquet"))

    def measured(self) -> NDArray[np.int64]:
        """The positions of all rows.

        Raises:
            LeafError: If a file cannot be read.
        """
        found = [_read(part, ["index"])["index"].to_numpy() for part in self.parts()]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def add(self, rows: Rows, columns: dict[str, str], terms: dict[str, Any]) -> Path:
        """Write some rows as one file, which is there whole or not at all.

        Raises:
            LeafError: If it cannot be written: the disk is full, the folder is not ours.
        """
        pa, parquet = _arrow()
        types = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
        types["list<double>"] = pa.list_(pa.float64())
        fields = [pa.field(name, types[kind]) for name, kind in columns.items()]
        metadata = {METADATA_KEY: json.dumps({"schema_version": SCHEMA_VERSION} | terms).encode()}
        table = pa.table(rows, schema=pa.schema(fields, metadata))
        name = f"part-{rows['index'][0]:012d}.parquet"
        return self._write(name, lambda file: parquet.write_table(table, file))

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows so far, in the order of the data set; what they are of is in the metadata.

        Args:
            columns: Which, beside the index; default: all.

        Raises:
            LeafError: If there is no table, a file cannot be read, or a row is there twice.
        """
        pa, _ = _arrow()
        parts = self.parts()
        if not parts:
            raise LeafError(
                f"{self.path} is expected to hold measurements (part-….parquet); it holds none."
            )
        names = None if columns is None else list(dict.fromkeys(["index", *columns]))
        table = pa.concat_tables([_read(part, names) for part in parts]).sort_by("index")
        indices = table["index"].to_numpy()
        twice = indices[1:][np.diff(indices) == 0]
        if len(twice):
            raise LeafError(
                f"{self.path} is expected to hold one row for each input; input {twice[0]} has "
                "more: two runs have written to it at once. Measure again into another folder."
            )
        return table

    def forget_unfinished(self) -> None:
        """Delete parts that a killed process has left half written. Nobody may be writing any."""
        # Only parts: other processes may be writing what the table is of just now.
        for file in self.path.glob(f".part-*{TEMPORARY}"):
            file.unlink(missing_ok=True)

    def _write(self, name: str, content: Any) -> Path:
        target = self.path / name
        temporary = self.path / f".{name}.{uuid4().hex}{TEMPORARY}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                content(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            if self.path.is_dir():
                temporary.unlink(missing_ok=True)
            raise LeafError(
                f"Cannot write {target} ({error.strerror or error}). What was written before is "
                "whole: make room, or let this process write there, and start again with the same "
                "folder to go on."
            ) from error
        return target


def read_measurements(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table that a :class:`MeasurementWriter` has written so far, in the order of the data.

    Args:
        folder: The writer's.
        columns: Which to read, beside the index; default: all.

    Returns:
        A pyarrow table, one row for each input or path; ``.to_pandas()`` makes a data frame.

    Raises:
        LeafError: If there is no table, a file cannot be read, or a row is there twice.
        ModuleNotFoundError: If pyarrow is not installed, with the command that installs it.
    """
    return MeasurementFolder(folder).read(columns)


def _read(part: Path, columns: list[str] | None = None) -> Any:
    _, parquet = _arrow()
    try:
        with parquet.ParquetFile(part) as file:
            return file.read(columns)
    except (OSError, ValueError, KeyError) as error:
        raise LeafError(
            f"{part} is expected to be a part of a table in Parquet; it cannot be read "
            f"({str(error).partition(chr(10))[0]}). Delete it, and start again with the same "
            "folder: its inputs are measured once more."
        ) from error


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Measurements are written and read with pyarrow: "
            'python -m pip install "lightning-leaf[measure]"'
        ) from error
    return pyarrow, pyarrow.parquet
