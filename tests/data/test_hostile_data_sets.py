"""Reading a data set that raises any kind of error ends with a LeafError that says so."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from lightning_leaf.data import workers
from lightning_leaf.data.reading import reader_of, reader_of_dataset
from lightning_leaf.data.requests import Request
from lightning_leaf.errors import LeafError
from tests.support.hostile import ERRORS

REQUEST = Request(None, 2, 0, None, 3)
PARENT = os.getpid()


class OtherError(LeafError):
    """An error of the user's own, which is made of two values."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(f"{first} and {second}")


class Unpicklable(Exception):
    """An error that cannot be sent to another process."""

    def __reduce__(self) -> Any:
        raise pickle.PicklingError("not this one")


MORE: dict[str, Callable[[], BaseException]] = {
    **ERRORS,
    "two values": lambda: OtherError(1, 2),
    "unpicklable": Unpicklable,
}


class Raising(Dataset[Any]):
    """A data set that raises an error at one place."""

    def __init__(self, place: str, kind: str) -> None:
        self.place, self.kind = place, kind

    def _raise_at(self, place: str) -> None:
        if place == self.place:
            raise MORE[self.kind]()

    def __len__(self) -> int:
        self._raise_at("length")
        return 6

    def __getitem__(self, position: int) -> Any:
        self._raise_at("item")
        if os.getpid() == PARENT:
            self._raise_at("item of a copy")
        elif self.place == "item of a copy":
            raise OSError("the connection belongs to another process")
        return torch.full((3,), float(position)), position % 2

    @property
    def classes(self) -> list[str]:
        self._raise_at("class names")
        return ["cat", "dog"]

    def collate(self, items: list[Any]) -> Any:
        self._raise_at("collate function")
        return default_collate(items)

    def __deepcopy__(self, memo: Any) -> Any:
        self._raise_at("copy")
        return self


PLACES = ["length", "item", "item of a copy", "copy", "class names", "collate function"]


@pytest.mark.parametrize("kind", MORE)
@pytest.mark.parametrize("place", PLACES)
def test_any_error_is_one_of_ours(place: str, kind: str) -> None:
    data = Raising(place, kind)
    if place == "length":
        reader = reader_of_dataset(data)
    else:
        reader = reader_of(DataLoader(data, 2, collate_fn=data.collate))
    if place in ("class names", "copy"):
        with suppress(LeafError):
            assert len(reader.read(REQUEST).positions or ()) == 2
        return
    with pytest.raises(LeafError) as caught:
        reader.read(REQUEST)
    assert len(str(caught.value)) < 30_000
    assert str(caught.value).isprintable()


def test_all_processes_have_ended() -> None:
    assert multiprocessing.active_children() == []
    assert workers.TIMEOUT == 30
