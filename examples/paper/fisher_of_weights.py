"""Section 3: the Fisher matrix of the weights loses its content in training, as G does.

F(x, w) is the same matrix with the weights in place of the input: the library measures it by
taking the weights for the input of a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from tqdm.auto import tqdm

from examples.paper.experiment import Claim, Experiment, Found, claim, each
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
    study.network(seed, max(scale.measured))  # train once, before the bar begins
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
    """Rank correlation over training of the two mean traces."""
    orders = [one[name].mean(0).argsort().argsort().double() for name in ("F", "G")]
    return float(torch.corrcoef(torch.stack(orders))[0, 1])


def claims(study: Study, found: list[Found]) -> list[Claim]:
    return [
        claim(
            "The Fisher matrix retains its information only well before the end of training, and "
            "a similar phenomenon occurs for G (section 3, after Achille et al.).",
            "At the last step the mean trace of F is {f:.2f} of its peak, that of G {g:.2f}; over "
            "training, the two have rank correlation {together:.2f}.",
            "both end below a tenth of their peak; partly, if below half",
            lambda f, g, together: max(f, g) < 0.1,
            lambda f, g, together: max(f, g) < 0.5,
            f=each(found, lambda one: one["F"].mean(0)[-1] / one["F"].mean(0).max()),
            g=each(found, lambda one: one["G"].mean(0)[-1] / one["G"].mean(0).max()),
            together=each(found, together),
        ),
        claim(
            "The rank of F(x, w) is bounded by the number of classes too (Proposition 2.1).",
            "It is at most {rank:.0f} at any image and step.",
            "at most C − 1 = 9",
            lambda rank: rank <= 9,
            rank=each(found, lambda one: one["rank"]),
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
