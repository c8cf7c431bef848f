"""Complete the metadata of lightning-leaf: require the plugin of the same version."""

from __future__ import annotations

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Add the plugin, pinned to this version, to the dependencies of pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in the dynamic field ``dependencies``."""
        plugin = f"tensorboard-plugin-leaf=={metadata['version']}"
        metadata["dependencies"] = [*self.config["dependencies"], plugin]
