"""Print the compared trainings at the end of a test session."""

from __future__ import annotations

from typing import Any

VERDICTS = {"passed": "exact", "failed": "DIFFERS", "skipped": "not run"}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    rows = [
        (_row(report.nodeid), verdict)
        for outcome, verdict in VERDICTS.items()
        for report in terminalreporter.getreports(outcome)
        if "undisturbed/" in report.nodeid and "is_bitwise_identical" in report.nodeid
    ]
    if not rows:
        return
    terminalreporter.section("trainings with the callbacks, compared with trainings without them")
    for name, verdict in rows:
        terminalreporter.write_line(f"{verdict:<8} {name}")


def _row(nodeid: str) -> str:
    name = nodeid.partition("[")[2].removesuffix("]")
    return f"{name}, on a GPU" if "_on_a_gpu_" in nodeid else name
