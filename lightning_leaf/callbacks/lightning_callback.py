"""The class ``Callback`` of both packages of Lightning, ``lightning`` and ``pytorch_lightning``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Callback
else:
    from lightning.pytorch import Callback

    try:
        from pytorch_lightning import Callback as _StandaloneCallback
    except ImportError:
        pass
    else:
        # The trainer and the CLI of each package check for the Callback class of that package.
        class Callback(Callback, _StandaloneCallback):
            """A callback for ``lightning.pytorch`` and for ``pytorch_lightning``."""


__all__ = ["Callback"]
