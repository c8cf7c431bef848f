"""A matplotlib figure that notebooks show as a picture. Importing it requires matplotlib."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure without a window that notebooks show even if pyplot was never imported.

    Notebooks show figures of matplotlib only after pyplot was imported.
    """

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
