"""Simple and slow float64 reference implementations for the tests."""

import torch
from torch import Tensor


def gradients(model, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return p, (C,), and ∇log p_i, (C, d), of one input x from one backward pass per class."""
    x = x.detach().double().unsqueeze(0).requires_grad_()
    log_p = model(x.clone())[0].log_softmax(-1)
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0].flatten() for value in log_p]
    return log_p.detach().exp(), torch.stack(rows)


def data_matrix(model, x: Tensor) -> Tensor:
    """Return G of every input, (B, d, d), by its definition E_y[∇log p_y ∇log p_yᵀ]."""
    matrices = []
    for single in x:
        p, rows = gradients(model, single)
        matrices.append(sum(w * torch.outer(g, g) for w, g in zip(p, rows, strict=True)))
    return torch.stack(matrices)


def contrasts(model, x: Tensor) -> Tensor:
    """Return ∇s_i − ∇s_0 for i > 0 of one input, (C − 1, d): a basis of D_x for every p."""
    x = x.detach().double().unsqueeze(0).requires_grad_()
    scores = model(x.clone())[0]
    rows = [torch.autograd.grad(s, x, retain_graph=True)[0].flatten() for s in scores]
    return torch.stack(rows[1:]) - rows[0]


def project(model, x: Tensor, v: Tensor) -> Tensor:
    """Return the projection of v on D_x for every input, from the orthonormal basis of an SVD."""
    projections = []
    for single, vector in zip(x, v, strict=True):
        _, s, basis = torch.linalg.svd(contrasts(model, single), full_matrices=False)
        basis = basis[s > 1e-12 * s[0]]
        projections.append(basis.T @ (basis @ vector.double().flatten()))
    return torch.stack(projections).reshape(v.shape)
