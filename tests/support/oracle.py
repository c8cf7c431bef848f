"""Simple and slow float64 reference implementations for the tests."""

import torch
from torch import Tensor


def outcomes(scores: Tensor, likelihood: str) -> Tensor:  # (C,) -> (n,)
    """Return log-probabilities of outcomes: of the C classes, or of yes and no for each label."""
    if likelihood == "bernoulli":
        return torch.nn.functional.logsigmoid(torch.cat([scores, -scores]))
    return scores.log_softmax(-1)


def rows(model, x: Tensor, function) -> tuple[Tensor, Tensor]:
    """Return f(s(x)), (n,), and its gradients, (n, d), of one input from n backward passes."""
    x = x.detach().double().unsqueeze(0).requires_grad_()
    values = function(model(x.clone())[0])
    gradients = [torch.autograd.grad(value, x, retain_graph=True)[0].flatten() for value in values]
    return values.detach(), torch.stack(gradients)


def data_matrix(model, x: Tensor, likelihood: str = "categorical") -> Tensor:
    """Return G of every input, (B, d, d), by its definition E_y[∇log p_y ∇log p_yᵀ].

    G of independent labels is the sum of the matrices of all labels.
    """
    matrices = []
    for single in x:
        log_p, gradients = rows(model, single, lambda scores: outcomes(scores, likelihood))
        matrices.append(gradients.T @ (log_p.exp().unsqueeze(1) * gradients))
    return torch.stack(matrices)


def contrasts(model, x: Tensor) -> Tensor:
    """Return ∇s_i − ∇s_0 for i > 0 of one input, (C − 1, d): a basis of D_x for every p."""
    return spanning(model, x, "categorical")


def spanning(model, x: Tensor, likelihood: str) -> Tensor:
    """Return rows that span D_x of one input: contrasts, or ∇s_k of all independent labels."""
    _, gradients = rows(model, x, lambda scores: scores)
    return gradients if likelihood == "bernoulli" else gradients[1:] - gradients[0]


def project(model, x: Tensor, v: Tensor, likelihood: str = "categorical") -> Tensor:
    """Return the projection of v on D_x for every input, from the orthonormal basis of an SVD."""
    projections = []
    for single, vector in zip(x, v, strict=True):
        _, s, basis = torch.linalg.svd(spanning(model, single, likelihood), full_matrices=False)
        basis = basis[s > 1e-12 * s[0]]
        projections.append(basis.T @ (basis @ vector.double().flatten()))
    return torch.stack(projections).reshape(v.shape)
