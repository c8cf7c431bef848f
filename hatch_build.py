"""Complete the metadata of lightning-leaf when a distribution is built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Require the plugin of the same version; make a long description without relative links."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the dynamic fields ``dependencies`` and ``readme``."""
        plugin = f"tensorboard-plugin-leaf=={metadata['version']}"
        metadata["dependencies"] = [*self.config["dependencies"], plugin]
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": without_relative_links(readme),
        }


def without_relative_links(markdown: str) -> str:
    """Remove pictures and links to files of the repository, which a package index cannot show."""
    text = re.sub(r"<picture>.*?</picture>\n+", "", markdown, flags=re.DOTALL)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
