"""A data provider that holds snapshots in memory, for logs that are slow to write as files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from tensorboard.backend.application import TensorBoardWSGI
from tensorboard.data import provider
from tensorboard.plugins.base_plugin import TBContext
from tensorboard_plugin_leaf import encode
from tensorboard_plugin_leaf.routes.plugin import LeafPlugin
from werkzeug.test import Client

from tests.support.plugin import synthetic


class Event(NamedTuple):
    """A snapshot in memory: its index, its blobs, and what TensorBoard lists of it."""

    content: bytes
    blobs: tuple[bytes, ...]
    step: int = 0
    wall_time: float = 1.7e9


Log = dict[str, dict[str, Event | None]]
"""Events by run and tag. ``None`` for an event that has no tensor."""


@dataclass
class FakeProvider:
    """A data provider of the events in ``log``, which may be changed at any time.

    It behaves as TensorBoard's providers do, except that an event without a tensor raises no error
    when all series are listed.

    Attributes:
        log: The events.
        scalars: Tags of scalars by run.
        calls: The names of the methods that were called.
    """

    log: Log
    scalars: Mapping[str, Iterable[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def list_plugins(self, ctx: Any, *, experiment_id: str) -> list[str]:
        """Return the plugins with data."""
        self.calls.append("list_plugins")
        return ["leaf"] if any(self.log.values()) else []

    def list_scalars(self, ctx: Any, **_: Any) -> Mapping[str, Any]:
        """Return all scalars."""
        self.calls.append("list_scalars")
        return {run: dict.fromkeys(tags, "") for run, tags in self.scalars.items()}

    def list_blob_sequences(
        self, ctx: Any, *, run_tag_filter: Any = None, **_: Any
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return what TensorBoard lists of the events that pass the filter."""
        self.calls.append("list_blob_sequences")
        return {
            run: {tag: event and _listed(event) for tag, event in events.items()}
            for run, events in self._filtered(run_tag_filter).items()
        }

    def read_blob_sequences(self, ctx: Any, *, run_tag_filter: Any, **_: Any) -> Any:
        """Return references to the blobs of the events that pass the filter."""
        self.calls.append("read_blob_sequences")
        return {
            run: {tag: _references(run, tag, event) for tag, event in events.items() if event}
            for run, events in self._filtered(run_tag_filter).items()
        }

    def read_blob(self, ctx: Any, *, blob_key: Any) -> bytes:
        """Return a blob."""
        self.calls.append("read_blob")
        run, tag, index = blob_key
        event = self.log[run][tag]
        assert event is not None
        return event.blobs[index]

    def client(self) -> Client:
        """Return a client of TensorBoard with the plugin, which serves this provider."""
        plugin = LeafPlugin(TBContext(data_provider=self, multiplexer=None))
        return Client(TensorBoardWSGI([plugin], "", data_provider=self))

    def _filtered(self, run_tag_filter: Any) -> Log:
        if run_tag_filter is None:
            return self.log
        (run,), (tag,) = run_tag_filter.runs, run_tag_filter.tags
        events = self.log.get(run, {})
        return {run: {tag: events[tag]}} if tag in events else {}


def _listed(event: Event) -> Any:
    return provider.BlobSequenceTimeSeries(
        max_step=event.step,
        max_wall_time=event.wall_time,
        max_length=len(event.blobs),
        plugin_content=event.content,
        description="",
        display_name="",
    )


def _references(run: str, tag: str, event: Event) -> list[Any]:
    keys = [provider.BlobReference((run, tag, index)) for index in range(len(event.blobs))]
    return [provider.BlobSequenceDatum(step=event.step, wall_time=0.0, values=keys)]


def event(
    step: int,
    session: int = 0,
    start: int = 0,
    name: str = "path",
    *,
    padding: int = 0,
) -> tuple[str, Event]:
    """Return tag and event of a small snapshot, whose index has ``padding`` bytes more."""
    content, blobs = _encoded()
    changes = {
        b'"NAME"': f'"{name}"',
        b'"step":1000': f'"step":{step}',
        f'"{synthetic.FIRST_SESSION}"'.encode(): f'"{session:016x}"',
        b'"session_start_step":0': f'"session_start_step":{start}',
        b'"reason":"step"': f'"reason":"step{"x" * padding}"',
    }
    for old, new in changes.items():
        assert content.count(old) == 1
        content = content.replace(old, new.encode())
    return f"{name}/{step:012d}-{session:016x}", Event(content, tuple(blobs), step)


@cache
def _encoded() -> tuple[bytes, list[bytes]]:
    return encode(synthetic.snapshot(paths=1, path_steps=1, shape=(8, 8), name="NAME"))
