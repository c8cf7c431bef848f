"""Where TensorBoard finds the plugin: its entry point."""

from __future__ import annotations

from typing import Any

from tensorboard.plugins import base_plugin
from tensorboard.util import tb_logging


class LeafLoader(base_plugin.TBLoader):  # type: ignore[misc]
    """Loads the plugin when TensorBoard starts, and steps aside if it cannot be loaded."""

    def load(self, context: base_plugin.TBContext) -> Any:
        """The plugin; `None`, which TensorBoard takes for "not there", if its import fails."""
        try:
            from tensorboard_plugin_leaf.plugin import LeafPlugin
        except ImportError as error:
            # An exception here would end TensorBoard for all other tabs too.
            tb_logging.get_logger().warning("The tab LEAF is missing, its import failed: %s", error)
            return None
        return LeafPlugin(context)
