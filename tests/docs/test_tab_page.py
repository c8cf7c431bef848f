"""The page about the tab quotes messages that the tab shows."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUOTED = re.compile(r'^\| "([^"]+)"', re.MULTILINE)


def shown() -> str:
    """Return the sources of the page and of its server, each run of white space as one space."""
    plugin = ROOT / "tb_plugin"
    page = (plugin / "frontend" / "src").rglob("*.ts")
    sources = [*page, *(plugin / "tensorboard_plugin_leaf").rglob("*.py")]
    return " ".join(" ".join(source.read_text().split()) for source in sources)


def test_quoted_messages_are_shown_by_the_tab() -> None:
    messages = QUOTED.findall((ROOT / "docs" / "tab.md").read_text())
    assert len(messages) >= 4
    sources = shown()
    assert [message for message in messages if message not in sources] == []


def test_a_changed_message_is_found() -> None:
    assert "No LEAF data so far" not in shown()
