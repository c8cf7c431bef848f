"""Coordinates on a leaf: orthonormal contrasts of the scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightning_leaf.errors import LeafError
from lightning_leaf.geometry.labels import label_logits
from lightning_leaf.model.likelihood import Likelihood, checked_likelihood, log_probabilities


def leaf_coordinates(
    log_probs: Tensor,  # (..., C)
    likelihood: Likelihood = "categorical",
) -> Tensor:  # (..., C - 1) or (..., C)
    r"""Return the coordinates of predictions on their leaf: C − 1 contrasts of log p.

    A contrast is a sum Σ_i v_i log p_i with Σ_i v_i = 0. It is also Σ_i v_i s_i of the scores,
    because the normalisation of p cancels. The gradients of all contrasts span D_x. Where D_x has
    C − 1 dimensions, moving along the leaf changes the C − 1 coordinates in every way, and inputs
    of the leaf near x have different coordinates. Moving across the leaves does not change them,
    to first order.

    The contrasts are the isometric log-ratios: for k = 1, …, C − 1

    .. math::
        z_k = \sqrt{\frac{k}{k + 1}} \left( \frac{1}{k} \sum_{i \le k} \log p_i - \log p_{k+1}
        \right) .

    They are orthonormal, Σ_i v_i² = 1. The distance ‖z − z'‖ therefore does not depend on the order
    of the classes, as it would for log-ratios to one class; the centred log-ratios
    log p_i − mean log p have the same distances, but one coordinate too many. No exponential is
    taken, so that confident predictions keep all digits.

    For independent labels the coordinates are the C logits log p_k − log(1 − p_k).

    Args:
        log_probs: Log-probabilities of each class or label, shape ``(..., C)``, such as
            ``SinglePath.log_probs``. A probability of zero, or of one for a label, has no finite
            coordinates.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.

    Returns:
        Coordinates, shape ``(..., C − 1)`` for classes and ``(..., C)`` for labels, float64.
        :func:`log_probs_at` is the inverse function.

    Raises:
        LeafError: If ``likelihood`` is unknown, or there are fewer than two classes.

    References:
        J. J. Egozcue, V. Pawlowsky-Glahn, G. Mateu-Figueras, C. Barceló-Vidal, *Isometric Logratio
        Transformations for Compositional Data Analysis*, Mathematical Geology 35, 2003.

    Example:
        >>> import torch
        >>> p = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]], dtype=torch.float64)
        >>> leaf_coordinates(p.log())
        tensor([[ 0.4901,  0.2830],
                [-0.4901,  0.2830]], dtype=torch.float64)
    """
    if checked_likelihood(likelihood) == "bernoulli":
        return label_logits(log_probs)
    if log_probs.shape[-1] < 2:
        raise LeafError(
            f"leaf_coordinates expects at least two classes, shape (..., C); got "
            f'{tuple(log_probs.shape)}. For one label, pass likelihood="bernoulli".'
        )
    log_p = log_probs.double()
    k = torch.arange(1, log_p.shape[-1], dtype=torch.float64, device=log_p.device)  # (C - 1,)
    # Differences first: a common large value of log p would cost digits of the sums.
    differences = log_p[..., :1] - log_p  # (..., C), log p_1 - log p_i
    means = differences.cumsum(-1)[..., :-1] / k
    return (k / (k + 1)).sqrt() * (differences[..., 1:] - means)


def log_probs_at(
    coordinates: Tensor,  # (..., C - 1) or (..., C)
    likelihood: Likelihood = "categorical",
) -> Tensor:  # (..., C)
    r"""Return the log-probabilities at coordinates, the inverse of :func:`leaf_coordinates`.

    With ``.exp()`` they are a target of :func:`prediction_path`:

    .. math::
        \log p = \mathrm{log\,softmax}\Big( \sum_k z_k v_k \Big)

    with the orthonormal contrasts v_k. For independent labels log p_k = log σ(z_k).

    Args:
        coordinates: Coordinates, shape ``(..., C − 1)`` for classes and ``(..., C)`` for labels.
        likelihood: ``"categorical"`` for exclusive classes, ``"bernoulli"`` for independent labels.

    Returns:
        Log-probabilities, shape ``(..., C)``, float64.

    Raises:
        LeafError: If ``likelihood`` is unknown.

    Example:
        >>> import torch
        >>> coordinates = torch.tensor([0.4901, 0.2830])
        >>> log_probs_at(coordinates).exp()
        tensor([0.5000, 0.2500, 0.2500], dtype=torch.float64)
    """
    z = coordinates.double()
    if checked_likelihood(likelihood) == "bernoulli":
        return log_probabilities(z, likelihood)
    k = torch.arange(1, z.shape[-1] + 1, dtype=torch.float64, device=z.device)  # (C - 1,)
    shares = z / (k * (k + 1)).sqrt()  # z_k v_k of each of the first k classes
    sums = shares.flip(-1).cumsum(-1).flip(-1)  # over all k' >= k
    return log_probabilities(pad(sums, (0, 1)) - pad(k * shares, (1, 0)), likelihood)
