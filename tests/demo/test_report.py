"""The printed report of a training fits into a terminal and describes every path."""

from __future__ import annotations

import pytest

from lightning_leaf.demo.report import history_table, path_line
from tests.support.plugin import synthetic


def test_long_histories_are_shortened_to_ten_rows_of_eighty_columns() -> None:
    columns = ("trace_mean", "trace_median", "trace_ratio", "effective_rank_entropy")
    history = {"step": [float(50 * i) for i in range(400)]}
    history |= {column: [1234.5] * 400 for column in (*columns, "effective_rank_stable")}
    table = history_table(history | {"tangent_dimension": [9.0] * 400})
    assert len(table) == 11
    assert table[1].split()[0] == "0"
    assert table[-1].split()[0] == "19,950"
    assert max(map(len, table)) <= 80


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("horizontal", "4 → 9: reached after 480 steps"), ("orthogonal", "4: 480 steps")],
)
def test_path_line_gives_ends_status_and_steps(kind: str, expected: str) -> None:
    line = path_line(synthetic.snapshot(kind=kind).paths[0])
    assert line.startswith(expected)
