"""Other implementations of the spectrum of G and of horizontal paths, for comparison.

Each is reimplemented from its description.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from lightning_leaf import LocalDataMatrix

Spectrum = tuple[Tensor, Tensor]
"""Trace of G and its C largest eigenvalues, descending: (B,) and (B, C)."""


def ours(model: nn.Module, x: Tensor) -> Spectrum:
    g = LocalDataMatrix.at(model, x)
    return g.trace(), g.eigenvalues()


def per_sample(model: nn.Module, x: Tensor) -> Spectrum:
    """Run the published algorithm: the Jacobian of log-softmax, one image at a time."""
    traces, spectra = [], []
    for one in x:
        log_p, rows = _log_p_and_gradients(model, one)
        factor = log_p.exp().sqrt().unsqueeze(1) * rows  # (C, d)
        traces.append(factor.square().sum())
        values = torch.linalg.eigvalsh(factor @ factor.T).flip(0)
        torch.linalg.matrix_rank(factor)
        spectra.append(values)
    return torch.stack(traces), torch.stack(spectra)


def vmap_jacrev(model: nn.Module, x: Tensor) -> Spectrum:
    """Use torch.func: one Jacobian for the batch, vectorised over inputs and classes."""

    def log_p(one: Tensor) -> tuple[Tensor, Tensor]:
        value = model(one.unsqueeze(0))[0].log_softmax(0)
        return value, value

    rows, values = vmap(jacrev(log_p, has_aux=True))(x)
    factor = values.exp().sqrt().unsqueeze(2) * rows.flatten(2)  # (B, C, d)
    gram = factor @ factor.mT
    trace = gram.diagonal(dim1=1, dim2=2).sum(1)
    return trace.detach(), torch.linalg.eigvalsh(gram.detach()).flip(1)


def curvlinops_ggn(model: nn.Module, x: Tensor) -> Spectrum:
    """Use the generalised Gauss–Newton matrix of summed cross-entropy with respect to the input.

    The matrix is block-diagonal, and its blocks are G. C products with random vectors span im G,
    because rank G ≤ C − 1 (range finder of Halko, Martinsson & Tropp 2011, exact here). C more
    products give G in a basis of im G.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    classes = model(x[:1]).shape[1]

    class InputAsParameter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(x.clone())

        def forward(self, rows: Tensor) -> Tensor:
            return model(self.x[rows])

    wrapped = InputAsParameter()
    rows = torch.arange(len(x), device=x.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of another library
        import curvlinops

        loss = nn.CrossEntropyLoss(reduction="sum")
        data = [(rows, torch.zeros_like(rows))]
        ggn = curvlinops.GGNLinearOperator(
            wrapped, loss, list(wrapped.parameters()), data, check_deterministic=False
        )
        generator = torch.Generator().manual_seed(0)
        start = torch.randn(x.numel(), classes, generator=generator, dtype=x.dtype).to(x.device)
        image = (ggn @ start).reshape(len(x), -1, classes)  # (B, d, C)
        basis = torch.linalg.qr(image)[0]
        image = (ggn @ basis.reshape(-1, classes)).reshape(basis.shape)
    small = basis.mT @ image  # (B, C, C)
    values = torch.linalg.eigvalsh((small + small.mT) / 2).flip(1)
    return values.sum(1), values


PEERS: dict[str, Callable[[nn.Module, Tensor], Spectrum]] = {
    "ours": ours,
    "per sample (published)": per_sample,
    "vmap(jacrev)": vmap_jacrev,
    "curvlinops GGN": curvlinops_ggn,
}


def per_sample_path(
    model: nn.Module, start: Tensor, end: Tensor, step_size: float, steps: int, threshold: float
) -> Tensor:
    """Run the published Algorithm 1 for one image and return the last point."""
    x = start
    for _ in range(steps):
        gap = (end - x).flatten()
        if gap.norm() <= threshold:
            break
        _, rows = _log_p_and_gradients(model, x)
        columns = (rows / rows.norm(dim=1, keepdim=True)).T  # (d, C)
        torch.linalg.matrix_rank(columns)
        v = columns @ torch.linalg.lstsq(columns, gap.unsqueeze(1)).solution.squeeze(1)
        x = x + (step_size * v / v.norm()).reshape(x.shape)
    return x


def _log_p_and_gradients(model: nn.Module, one: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p ``(C,)`` and its gradients ``(C, d)`` of one input."""

    def log_p(image: Tensor) -> Tensor:
        return model(image.unsqueeze(0))[0].log_softmax(0)

    rows = torch.autograd.functional.jacobian(log_p, one).flatten(1)
    with torch.no_grad():
        return log_p(one), rows
