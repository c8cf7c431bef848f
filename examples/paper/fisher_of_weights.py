"""Section 3: the traces of the Fisher matrix F of the weights and of G during training.

F(x, w) is the local data matrix with the weights in the role of the input. The library computes it
for a function whose input is the vector of weights. Both traces are measured at the same images and
checkpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from examples.paper.experiment import Claim, Experiment, Found
from examples.paper.figures import BLUE, GREY, ORANGE
from examples.paper.scale import Scale
from examples.paper.study import Study
from examples.paper.weights import scores_of_weights, weights_of
from lightning_leaf import LocalDataMatrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def measure(study: Study, seed: int) -> Found:
    scale = study.scale
    probe = study.images.train[: scale.weights_probe]
    study.network(seed, max(scale.measured))  # train before the progress bar starts
    steps = scale.measured[:: 2 if scale.name == "quick" else 1]
    traces: dict[str, list[Tensor]] = {"F": [], "G": []}
    ranks: list[Tensor] = []
    for step in tqdm(steps, desc="Fisher matrix of the weights", disable=None, leave=False):
        network = study.network(seed, step)
        flat = weights_of(network)
        matrices = [LocalDataMatrix.at(scores_of_weights(network, image), flat) for image in probe]
        traces["F"].append(torch.cat([f.trace() for f in matrices]))
        traces["G"].append(LocalDataMatrix.at(network, probe).trace())
        ranks.append(torch.cat([f.tangent_dimension() for f in matrices]).max())
    return {
        "step": list(steps),
        "F": torch.stack(traces["F"], 1),  # (N, T)
        "G": torch.stack(traces["G"], 1),
        "rank": int(torch.stack(ranks).max()),
    }


def together(one: Found) -> float:
    """Return the rank correlation of the two mean traces over training."""
    orders = [one[name].mean(0).argsort().argsort().double() for name in ("F", "G")]
    return float(torch.corrcoef(torch.stack(orders))[0, 1])


def claims(scale: Scale) -> list[Claim]:
    return [
        Claim(
            "The Fisher matrix retains its information only well before the end of training, and "
            "a similar phenomenon occurs for G (section 3, after Achille et al.).",
            "At the last step the mean trace of F is {f:.2f} of its peak and that of G is {g:.2f}. "
            "Over training, the two have rank correlation {together:.2f}.",
            {
                "f": lambda one: one["F"].mean(0)[-1] / one["F"].mean(0).max(),
                "g": lambda one: one["G"].mean(0)[-1] / one["G"].mean(0).max(),
                "together": together,
            },
            "both end below a tenth of their peak; in part if both end below half",
            lambda f, g, together: max(f, g) < 0.1,
            lambda f, g, together: max(f, g) < 0.5,
        ),
        Claim(
            "The rank of F(x, w) is bounded by the number of classes too (Proposition 2.1).",
            "The rank is at most {rank:.0f} at every image and step.",
            {"rank": lambda one: one["rank"]},
            "the rank is at most C − 1 = 9",
            lambda rank: rank <= 9,
        ),
    ]


def draw(study: Study, found: list[Found], figure: Figure) -> None:
    panels = figure.subplots(1, 2)
    titles = {"F": "tr F(x, w): weights", "G": "tr G(x, w): inputs"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        for i, one in enumerate(found):
            steps = [max(step, 1) for step in one["step"]]
            curves = {"mean": one[name].mean(0), "median": one[name].median(0).values}
            for (label, curve), colour in zip(curves.items(), (ORANGE, BLUE), strict=True):
                panel.plot(steps, curve, color=colour, label=None if i else label)
        start = float(found[0][name].mean(0)[0])
        panel.axhline(start, color=GREY, ls="--", lw=0.8, label="mean at step 0")
        panel.set(xscale="log", yscale="log", xlabel="step", title=title)
        panel.legend()


def points(scale: Scale) -> int:
    return 30 * scale.weights_probe * len(scale.measured)


EXPERIMENT = Experiment(
    "fisher", "the trace of the weights' Fisher matrix beside that of G", measure, draw, claims,
    points,
)  # fmt: skip
