"""What PyTorch's two interfaces say about the precision of float32 products and convolutions."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import backends

from lightning_leaf.model import float32

NODES = [
    ("generic", "all"),
    *((backend, op) for backend in ("cuda", "mkldnn") for op in ("all", "conv", "rnn", "matmul")),
]


def set_node(backend: str, op: str, value: str) -> None:
    torch._C._set_fp32_precision_setter(backend, op, value)


def settings() -> dict[Any, Any]:
    """Return what a program can read through both interfaces; the type of an error if it raises."""
    readers: dict[Any, Callable[[], Any]] = {
        "convolutions": lambda: backends.cudnn.allow_tf32,
        "products": lambda: backends.cuda.matmul.allow_tf32,
        "precision": torch.get_float32_matmul_precision,
    }
    if float32.HAS_NODES:
        readers |= {node: partial(torch._C._get_fp32_precision_getter, *node) for node in NODES}
    return {name: value_or_error(read) for name, read in readers.items()}


def reset_products() -> None:
    """Set the precision of products as at the start of a process."""
    torch.set_float32_matmul_precision("highest")
    for backend in ("cuda", "mkldnn") if float32.HAS_NODES else ():
        set_node(backend, "matmul", "none")


def value_or_error(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RuntimeError as error:  # both interfaces were used
        return type(error)


def all_ieee(found: dict[Any, Any]) -> bool:
    expected = {"convolutions": False, "products": False, "precision": "highest"}
    return all(value == expected.get(name, value) for name, value in found.items()) and not (
        {"tf32", "bf16"} & set(map(str, found.values()))
    )


def choices() -> list[Callable[[], None]]:
    """Return everything that a program can set."""
    set_old = partial(setattr, backends.cudnn, "allow_tf32")
    set_products = partial(setattr, backends.cuda.matmul, "allow_tf32")
    found = [partial(set_old, value) for value in (True, False)]
    found += [partial(set_products, value) for value in (True, False)]
    found += [
        partial(torch.set_float32_matmul_precision, value)
        for value in ("highest", "high", "medium")
    ]
    for backend, op in NODES if float32.HAS_NODES else []:
        short = {"generic": ("tf32", "bf16"), "cuda": ("tf32",), "mkldnn": ("bf16",)}[backend]
        found += [partial(set_node, backend, op, value) for value in ("ieee", "none", *short)]
    return found


def in_the_forward_pass() -> list[Callable[[], None]]:
    """Return what a forward pass can do with the settings."""

    def flags() -> None:
        with backends.cudnn.flags(enabled=False):
            pass
        assert all_ieee(settings())

    def old() -> None:
        backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("medium")

    def new() -> None:
        for node in NODES:
            set_node(*node, "tf32" if node[0] == "cuda" else "bf16")

    def nested() -> None:
        with float32.full_float32():
            assert all_ieee(settings())
        assert all_ieee(settings())

    def error() -> None:
        raise KeyError

    return [flags, old, nested, error, *([new] if float32.HAS_NODES else [])]


def check(during: Callable[[], None]) -> None:
    before = settings(), float32._values() if float32.HAS_NODES else None
    with suppress(KeyError), float32.full_float32():
        assert all_ieee(settings()), settings()
        during()
    after = settings(), float32._values() if float32.HAS_NODES else None
    assert after == before, (before, after)


def main() -> None:
    """Check many combinations in a process of their own, as the first has values of its own."""
    initial = float32._values() if float32.HAS_NODES else None
    check(lambda: None)
    assert initial == (float32._values() if float32.HAS_NODES else None)
    if float32.HAS_NODES:
        set_node("cuda", "all", "ieee")
        check(lambda: None)
        set_node("cuda", "all", "none")
        assert initial == float32._values()
    draw = random.Random(0)
    during, settable = in_the_forward_pass(), choices()
    check(during[0])
    for _ in range(300):
        for _ in range(draw.randint(1, 6)):
            draw.choice(settable)()
        for each in during:
            check(each)
    for node in NODES if float32.HAS_NODES else []:
        set_node(*node, "none")
    float32.HAS_NODES = False  # as in PyTorch 2.6 to 2.8
    for write in choices():
        torch.set_float32_matmul_precision("highest")
        write()
        check(lambda: None)


if __name__ == "__main__":
    main()
