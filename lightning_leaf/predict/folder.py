"""A folder of measurements: one table in many Parquet files, and its settings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from lightning_leaf.display.locations import local_path
from lightning_leaf.errors import LeafError
from lightning_leaf.predict.columns import Columns, ColumnTypes

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA_VERSION = 1
SETTINGS_FILE = "measurement.json"
METADATA_KEY = b"lightning_leaf"
TEMPORARY = ".tmp"


class MeasurementFolder:
    """One table in many Parquet files, and ``measurement.json``, which contains its settings.

    Files are written under a temporary name and renamed when they are complete. The name of a
    Parquet file contains the first position in it, so that two processes never write the same file.

    Args:
        path: The folder, created when the first file is written.

    Raises:
        LeafError: If the path is the URL of a remote file system.
        ModuleNotFoundError: If pyarrow is not installed; the message gives the command that
            installs it.
    """

    def __init__(self, path: str | Path) -> None:
        _pyarrow()
        local = local_path(path)
        if local is None:
            raise LeafError(
                f"folder expects a folder on a mounted file system; got {path!r}. Files are "
                "renamed when they are complete, which object stores do not support. Measure into "
                "a local folder, and copy it afterwards."
            )
        self.path = local

    def open(self, settings: dict[str, Any]) -> None:
        """Begin a table, or resume one with the same settings. All processes may call this at once.

        Args:
            settings: Everything on which the values of the table depend, as JSON data.

        Raises:
            LeafError: If the folder contains another table, or cannot be written to.
        """
        settings = {"schema_version": SCHEMA_VERSION} | json.loads(json.dumps(settings))
        existing, parts = self.settings(), self.parts()
        if existing is None or (existing != settings and not parts):  # no row was measured yet
            if parts:
                raise LeafError(
                    f"Expected {self.path} to be empty or to contain measurements; it contains "
                    f"parts of a table but no {SETTINGS_FILE}. Choose another folder."
                )
            content = json.dumps(settings, indent=2).encode()
            self._write(SETTINGS_FILE, lambda file: file.write(content))
        elif existing != settings:
            differences = [
                f"{name} was {existing.get(name)!r} and is {settings.get(name)!r}"
                for name in sorted(existing.keys() | settings.keys())
                if existing.get(name) != settings.get(name)
            ]
            raise LeafError(
                f"{self.path} contains other measurements: {'; '.join(differences)}. Nothing was "
                "changed. Choose another folder, or use the same settings, checkpoint and data to "
                "resume."
            )

    def settings(self) -> dict[str, Any] | None:
        """Return the settings of the table; None if the folder contains none.

        Raises:
            LeafError: If the file that contains them cannot be read.
        """
        file = self.path / SETTINGS_FILE
        try:
            settings = json.loads(file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise LeafError(
                f"Expected {file} to contain the settings of a table as JSON; it cannot be read "
                f"({error}). Choose another folder."
            ) from error
        if not isinstance(settings, dict):
            raise LeafError(
                f"Expected {file} to contain a JSON object; got {type(settings).__name__}. Choose "
                "another folder."
            )
        return settings

    def parts(self) -> list[Path]:
        """Return the Parquet files of the table, sorted by their first position."""
        return sorted(self.path.glob("part-*.parquet"))

    def measured(self) -> NDArray[np.int64]:
        """Return the positions of all rows.

        Raises:
            LeafError: If a file cannot be read.
        """
        indices = [_read(part, ["index"])["index"].to_numpy() for part in self.parts()]
        return np.concatenate(indices) if indices else np.empty(0, np.int64)

    def add(self, columns: Columns, types: ColumnTypes, settings: dict[str, Any]) -> Path:
        """Write some rows as one file.

        Args:
            columns: The rows.
            types: The type of each column.
            settings: Written into the metadata of the file.

        Returns:
            The file.

        Raises:
            LeafError: If the file cannot be written, for example to a full disk.
        """
        pa, parquet = _pyarrow()
        arrow_types = {"int64": pa.int64(), "double": pa.float64(), "string": pa.string()}
        arrow_types |= {f"list<{name}>": pa.list_(kind) for name, kind in arrow_types.items()}
        fields = [pa.field(name, arrow_types[kind]) for name, kind in types.items()]
        settings = {"schema_version": SCHEMA_VERSION} | settings
        metadata = {METADATA_KEY: json.dumps(settings).encode()}
        table = pa.table(columns, schema=pa.schema(fields, metadata))
        name = f"part-{columns['index'][0]:012d}.parquet"
        return self._write(name, lambda file: parquet.write_table(table, file))

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows written so far, in the order of the data set.

        Args:
            columns: The columns to read, in addition to the index. Default: all.

        Returns:
            The table, with the settings in the metadata of its schema.

        Raises:
            LeafError: If there is no table, a file cannot be read, or a position occurs twice.
        """
        pa, _ = _pyarrow()
        parts = self.parts()
        if not parts:
            raise LeafError(
                f"Expected {self.path} to contain measurements (part-….parquet); it contains none. "
                "Pass the folder of a MeasurementWriter."
            )
        names = None if columns is None else list(dict.fromkeys(["index", *columns]))
        table = pa.concat_tables([_read(part, names) for part in parts]).sort_by("index")
        indices = table["index"].to_numpy()
        repeated = indices[1:][np.diff(indices) == 0]
        if len(repeated):
            raise LeafError(
                f"Expected {self.path} to contain one row for each input; input {repeated[0]} has "
                "more than one: two runs wrote to the folder at the same time. Measure again into "
                "another folder."
            )
        return table

    def remove_unfinished(self) -> None:
        """Delete incomplete files of a killed process. Call it while no process writes parts."""
        # Only parts, because another process may be writing the settings.
        for file in self.path.glob(f".part-*{TEMPORARY}"):
            file.unlink(missing_ok=True)

    def _write(self, name: str, write_content: Callable[[IO[bytes]], Any]) -> Path:
        target = self.path / name
        temporary = self.path / f".{name}.{uuid4().hex}{TEMPORARY}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                write_content(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            if self.path.is_dir():
                temporary.unlink(missing_ok=True)
            raise LeafError(
                f"Cannot write {target} ({error.strerror or error}). Files written before are "
                "complete. Free some disk space or allow this process to write there, then run "
                "again with the same folder to resume."
            ) from error
        return target


def read_measurements(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the table that a :class:`MeasurementWriter` has written so far.

    Args:
        folder: The folder of the writer.
        columns: The columns to read, in addition to the index. Default: all.

    Returns:
        A ``pyarrow.Table`` with one row for each input or path, in the order of the data set.
        ``.to_pandas()`` converts it to a data frame.

    Raises:
        LeafError: If there is no table, a file cannot be read, or a position occurs twice.
        ModuleNotFoundError: If pyarrow is not installed; the message gives the command that
            installs it.
    """
    return MeasurementFolder(folder).read(columns)


def _read(part: Path, columns: list[str] | None = None) -> Any:
    _, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(part) as file:
            return file.read(columns)
    except (OSError, ValueError, KeyError) as error:
        raise LeafError(
            f"Expected {part} to be a Parquet file of a table; it cannot be read "
            f"({str(error).partition(chr(10))[0]}). Delete it and run again with the same folder: "
            "its inputs are measured again."
        ) from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Writing and reading measurements needs pyarrow, which is not installed. Run: "
            'python -m pip install "lightning-leaf[measure]"'
        ) from error
    return pyarrow, pyarrow.parquet
