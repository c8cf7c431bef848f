"""The printed report of a training fits into a terminal and describes every path."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tensorboard_plugin_leaf.schema.path import STATUSES

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
    [
        ("horizontal", "4 → 9: reached after 480 steps, "),
        ("orthogonal", "4: 480 steps, "),
        (
            "prediction",
            "4 → 9: reached after 480 steps, changed by 12.50; Fisher–Rao length 1.00 of the "
            "shortest",
        ),
    ],
)
def test_path_line_gives_ends_status_and_steps(kind: str, expected: str) -> None:
    line = path_line(synthetic.snapshot(kind=kind).paths[0], kind)
    assert line.startswith(expected)


def test_path_line_says_what_blocks_a_path_and_what_another_network_predicts() -> None:
    blocked = synthetic.snapshot(kind="prediction").paths[1]
    blocked = replace(blocked, judged="9", judged_probability=0.256)
    line = path_line(blocked, "prediction")
    left = f"{blocked.final_distance:.2f} of {blocked.start_distance:.2f} left"
    assert line.startswith(f"4 → 0: blocked (domain) after 500 steps, {left}, changed by 8.00; ")
    assert line.endswith("; another network predicts 9 (0.26)")


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_words(status: str) -> None:
    path = replace(synthetic.snapshot().paths[0], status=status)
    assert f": {status.replace('_', ' ')}" in path_line(path, "horizontal").replace("-", " ")
