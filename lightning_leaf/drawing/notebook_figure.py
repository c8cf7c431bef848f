"""A matplotlib figure that a notebook shows as a picture. Importing it needs matplotlib."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure without a window that notebooks show even if pyplot was never imported.

    Notebooks know how to show matplotlib's own figures only once pyplot is imported.
    """

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()
