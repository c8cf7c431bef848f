"""The entry point by which TensorBoard finds the plugin."""

from __future__ import annotations

from typing import Any

from tensorboard.plugins import base_plugin
from tensorboard.util import tb_logging


class LeafLoader(base_plugin.TBLoader):  # type: ignore[misc]
    """Loader of the plugin, called when TensorBoard starts."""

    def load(self, context: base_plugin.TBContext) -> Any:
        """Return the plugin, or ``None`` if its import fails.

        TensorBoard then starts without the tab. An exception would stop TensorBoard.

        Args:
            context: The context that TensorBoard passes to every plugin.

        Returns:
            A :class:`~tensorboard_plugin_leaf.routes.plugin.LeafPlugin` or ``None``.
        """
        try:
            from tensorboard_plugin_leaf.routes.plugin import LeafPlugin
        except ImportError as error:
            tb_logging.get_logger().warning(
                "TensorBoard starts without the LEAF tab, because its import failed: %s", error
            )
            return None
        return LeafPlugin(context)
