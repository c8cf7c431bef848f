"""The help of both commands lists every option without importing Lightning or pyarrow."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lightning_leaf.cli import main

PROGRAM = """
import contextlib, io, json, sys
from lightning_leaf.cli import main

texts = {}
for command in ("demo", "measure"):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    texts[command] = printed.getvalue()
imported = sorted({"lightning", "pyarrow", "matplotlib", "torchvision"} & set(sys.modules))
print(json.dumps([texts, imported]))
"""

OPTIONS = {
    "demo": {"data", "data-dir", "logdir", "seed", "max-epochs", "accelerator", "serve"},
    "measure": {
        "checkpoint", "model", "data", "out", "ranks", "batch-size", "devices", "accelerator",
        "limit", "data-dir", "forward", "batch", "likelihood", "class-names", "exact",
    },
}  # fmt: skip


@pytest.mark.parametrize("command", ["demo --logdir", "measure --checkpoint a --out"])
def test_remote_folders_are_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "s3://bucket/logs"])
    assert "expected a local folder; got 's3://bucket/logs'" in capsys.readouterr().err


def test_help_lists_all_options_without_slow_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    texts, imported = json.loads(done.stdout)
    for command, options in OPTIONS.items():
        for option in options:
            assert f"--{option} " in texts[command] or f"--{option}\n" in texts[command]
    assert imported == []
