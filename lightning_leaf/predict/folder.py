"""A folder of measurements: one table in many Parquet files, and its settings."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lightning_leaf.display.locations import local_path
from lightning_leaf.errors import LeafError
from lightning_leaf.predict.columns import Columns, ColumnTypes
from lightning_leaf.predict.files import TEMPORARY, read_at_most, write_whole
from lightning_leaf.predict.parts import PATTERN, arrow, read_part, write_part
from lightning_leaf.predict.settings import MAX_BYTES, Settings

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS_FILE = "measurement.json"
GAPS_SHOWN = 5


class MeasurementFolder:
    """One table in many Parquet files, and ``measurement.json``, which contains its settings.

    Files are written under a temporary name and renamed when they are complete. The name of a
    Parquet file contains the first position in it and a checksum of its content, so that no file is
    replaced by other content, and every damage is found when it is read.

    Args:
        path: The folder, created when the first file is written.

    Raises:
        LeafError: If the path is the URL of a remote file system.
        ModuleNotFoundError: If pyarrow is not installed; the message gives the command that
            installs it.
    """

    def __init__(self, path: str | Path) -> None:
        arrow()
        local = local_path(path)
        if local is None:
            raise LeafError(
                f"folder expects a folder on a mounted file system; got {path!r}. Files are "
                "renamed when they are complete, which object stores do not support. Measure into "
                "a local folder, and copy it afterwards."
            )
        self.path = local.absolute()  # code of the user may change the current folder

    def open(self, settings: Settings) -> None:
        """Begin a table, or resume one with the same settings. Call it with the lock.

        Args:
            settings: Everything on which the values of the table depend.

        Raises:
            LeafError: If the folder contains another table, or cannot be written to.
        """
        existing, parts = self.settings(), self.parts()
        if parts or existing == settings:
            self.require(settings)
        else:  # no row was measured yet
            write_whole(self.path / SETTINGS_FILE, settings.to_json(indent=2))

    def require(self, settings: Settings) -> None:
        """Check that the folder contains a table with the same settings.

        Raises:
            LeafError: If it contains another table or none.
        """
        existing = self.settings()
        if existing is None:
            raise self._no_settings()
        if existing == settings:
            return
        if existing.is_of_earlier_version:
            raise LeafError(
                f"{self.path} contains a table that an earlier version of lightning-leaf has "
                "written. It can be read but not resumed, because it does not say which data were "
                "measured. Nothing was changed. Measure into another folder."
            )
        raise LeafError(
            f"{self.path} contains other measurements: {existing.differences(settings)}. Nothing "
            "was changed. Choose another folder, or use the same settings, checkpoint and data to "
            "resume."
        )

    def settings(self) -> Settings | None:
        """Return the settings of the table; None if the folder contains none.

        Raises:
            LeafError: If the file that contains them cannot be read.
        """
        file = self.path / SETTINGS_FILE
        try:
            return Settings.parse(read_at_most(file, MAX_BYTES))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise LeafError(
                f"Expected {file} to contain the settings of a table as JSON; it cannot be read "
                f"({getattr(error, 'strerror', None) or error}). Choose another folder."
            ) from error

    def parts(self) -> list[Path]:
        """Return the Parquet files of the table, sorted by their first position.

        Raises:
            LeafError: If the folder cannot be listed.
        """
        return [self.path / name for name in self._names() if fnmatchcase(name, PATTERN)]

    def _names(self) -> list[str]:
        """Return the names of all files. Path.glob returns none if it may not list the folder."""
        try:
            return sorted(os.listdir(self.path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError) as error:
            raise LeafError(
                f"Cannot read the folder {self.path} "
                f"({getattr(error, 'strerror', None) or error}). Allow this process to read it, or "
                "choose another folder."
            ) from error

    def measured(self) -> NDArray[np.int64]:
        """Return the positions of all rows in ascending order, each once.

        Raises:
            LeafError: If a file cannot be read or belongs to another table.
        """
        indices = [part["index"].to_numpy() for part in self._read(["index", "status"])]
        if not indices:
            return np.empty(0, np.int64)
        # With return_index it sorts, which is much faster here than the hashing of newer numpy.
        positions: NDArray[np.int64] = np.unique(np.concatenate(indices), return_index=True)[0]
        return positions

    def require_complete(self) -> None:
        """Check that every input of the table is measured.

        Raises:
            LeafError: If a file cannot be read, or inputs are missing; the message names them.
        """
        settings = self.settings()
        if settings is None:
            raise self._no_settings()
        # Without an array of all positions, because their number comes from a file.
        ends = np.concatenate([[-1], self.measured(), [settings.inputs]])
        gaps = np.flatnonzero(np.diff(ends) > 1)
        if len(gaps):
            missing = settings.inputs - (len(ends) - 2)
            shown = [
                str(first) if first == last else f"{first}–{last}"
                for first, last in ((ends[i] + 1, ends[i + 1] - 1) for i in gaps[:GAPS_SHOWN])
            ]
            raise LeafError(
                f"Expected {self.path} to contain one row for each of its {settings.inputs:,} "
                f"inputs; {missing:,} are missing: {', '.join(shown)}"
                f"{', …' if len(gaps) > GAPS_SHOWN else ''}. Run again with the same folder to "
                "measure them."
            )

    def add(self, columns: Columns, types: ColumnTypes, settings: Settings) -> Path:
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
        return write_part(self.path, columns, types, settings)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows written so far, in the order of the data set.

        Args:
            columns: The columns to read, in addition to the index. Default: all.

        Returns:
            The table, with the settings in the metadata of its schema.

        Raises:
            LeafError: If there is no table, or a file cannot be read or belongs to another table.
        """
        pa, _ = arrow()
        names = None if columns is None else list(dict.fromkeys(["index", *columns]))
        parts = list(self._read(names))
        if not parts:
            raise LeafError(
                f"Expected {self.path} to contain measurements (part-….parquet); it contains none. "
                "Pass the folder of a MeasurementWriter."
            )
        table = pa.concat_tables(parts)
        positions, first = np.unique(table["index"].to_numpy(), return_index=True)
        if repeated := table.num_rows - len(positions):
            warnings.warn(
                f"{self.path} contains {repeated:,} rows of inputs that have a row already: runs "
                "with equal settings wrote to it at the same time. The first row of each input is "
                "used.",
                stacklevel=3,
            )
        return table.take(first)

    def remove_unfinished(self) -> None:
        """Delete incomplete files of killed processes. Call it while no other run writes."""
        for name in self._names():
            if name.startswith((".part-", f".{SETTINGS_FILE}")) and name.endswith(TEMPORARY):
                # It may be a folder, or a file of another user; the table does not need it.
                with suppress(OSError):
                    (self.path / name).unlink()

    def _read(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        parts = self.parts()
        settings = self.settings() if parts else None
        for part in parts:
            if settings is None:
                raise self._no_settings()
            yield read_part(part, settings, columns)

    def _no_settings(self) -> LeafError:
        return LeafError(
            f"Expected {self.path} to be empty or to contain measurements; it contains parts of a "
            f"table but no {SETTINGS_FILE}. Choose another folder."
        )


def read_measurements(folder: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the table that a :class:`MeasurementWriter` has written so far.

    Every file is checked: its checksum, and that its settings and columns are those of
    ``measurement.json``. If two runs measured the same inputs at the same time, a warning is shown
    and one row of each input is returned.

    Args:
        folder: The folder of the writer.
        columns: The columns to read, in addition to the index. Default: all.

    Returns:
        A ``pyarrow.Table`` with one row for each input or path, in the order of the data set.
        ``.to_pandas()`` converts it to a data frame.

    Raises:
        LeafError: If there is no table, or a file is damaged or belongs to another table.
        ModuleNotFoundError: If pyarrow is not installed; the message gives the command that
            installs it.
    """
    return MeasurementFolder(folder).read(columns)
