"""Kinds of `forward`: what it takes, and what it returns."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, one_hot
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import Dataset, TensorDataset

from tests.support.trainers.kinds import (
    Lit,
    Report,
    Training,
    images,
    kind,
    labels,
    loader,
    pairs,
    rows,
)


class Backbone(Lit):
    """A backbone and a head; subclasses combine them."""

    def __init__(self, width: int = 8) -> None:
        super().__init__(nn.Sequential(nn.Linear(12, width), nn.Tanh()))
        self.head = nn.Linear(width, 3)


def head_of_backbone(module: Any, x: Tensor) -> Tensor:
    return module.head(module.net(x))  # type: ignore[no-any-return]


class Frozen(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.net(x)
        return self.head(features)  # type: ignore[no-any-return]


@kind(
    "Forward",
    "a backbone under `torch.no_grad()` before a trainable head",
    Report(
        "Trusted-AI/adversarial-robustness-toolbox #1526",
        "ResNet-18 behind a preprocessor that returns `x.detach()`",
        "trace 0 without a word",
    ),
    note="The derivative is taken through `no_grad`.",
)
def no_grad_backbone(root: Path) -> Training:
    return Training(Frozen(), pairs(), head_of_backbone)


class ThroughNumPy(Backbone):
    def forward(self, x: Tensor) -> Tensor:
        scaled = torch.from_numpy(np.sqrt(x.detach().numpy()))
        return self.head(self.net(scaled))  # type: ignore[no-any-return]


@kind(
    "Forward",
    "preprocessing in NumPy inside of `forward`",
    Report(
        "meta-pytorch/captum #510",
        "an intent classifier whose forward goes through NumPy",
        "trace 0 without a word",
    ),
    Report(
        "Trusted-AI/adversarial-robustness-toolbox #1155",
        "a classifier with a preprocessor in NumPy",
        "trace 0 without a word",
    ),
    write="forward=lambda module, x: module.head(module.net(x.sqrt()))",
    refused="NumPy.*forward=",
)
def numpy_forward(root: Path) -> Training:
    return Training(ThroughNumPy(), pairs(), lambda module, x: module.head(module.net(x.sqrt())))


class Rounded(Backbone):
    """Pixels are rounded to whole numbers first, so that every derivative is zero."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net((255 * x).round() / 255))  # type: ignore[no-any-return]


@kind(
    "Forward",
    "an operation whose derivative is zero everywhere, such as rounding",
    write="forward=lambda module, x: module.head(module.net(x))",
    refused="derivative|gradient",
)
def zero_derivative(root: Path) -> Training:
    return Training(Rounded(), pairs(), head_of_backbone)


class Features(Backbone):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self.head(self(batch[0])), batch[1])


@kind(
    "Forward",
    "`forward` returns features; the head is applied in `training_step`",
    Report(
        "KevinMusgrave/pytorch-metric-learning #338",
        "ResNet-18 with an ArcFace loss that contains the classifier",
        "wrong value: features were read as logits",
    ),
    write="forward=lambda module, x: module.head(module(x))",
    refused="forward=",
)
def features(root: Path) -> Training:
    return Training(Features(24), pairs(), head_of_backbone)


class FeaturesAndLogits(Backbone):
    def forward(self, x: Tensor) -> Any:
        found = self.net(x)
        return found, self.head(found)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0])[1], batch[1])


@kind(
    "Forward",
    "`forward` returns `(features, logits)`",
    Report(
        "jacobgil/pytorch-grad-cam #121",
        "a contrastive model with two outputs",
        "wrong value: features were read as logits",
    ),
    Report("chr5tphr/zennit #170", "a VGG whose output is a tuple", "as above"),
    note="Of several tensors, the first one with a column for each class is measured.",
)
def features_and_logits(root: Path) -> Training:
    return Training(FeaturesAndLogits(), pairs(), head_of_backbone)


class Output(dict[str, Tensor]):
    """A dict with attributes, like the outputs of transformers."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class ModelOutput(Backbone):
    def forward(self, x: Tensor) -> Any:
        hidden = self.net(x)
        return Output(hidden_states=hidden, logits=self.head(hidden))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch[0]).logits, batch[1])


@kind(
    "Forward",
    "`forward` returns a dict or a `ModelOutput` with `logits`",
    Report(
        "jacobgil/pytorch-grad-cam #481",
        "SwinForImageClassification of transformers",
        "right value",
    ),
)
def model_output(root: Path) -> Training:
    return Training(ModelOutput(), pairs(), head_of_backbone)


class WideAndDeep(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 3))
        self.deep = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))

    def logits(self, wide: Tensor, deep: Tensor) -> Tensor:
        return self.net(wide) + self.deep(deep)  # type: ignore[no-any-return]

    def forward(self, wide: Tensor, deep: Tensor) -> Any:
        return {"probabilities": self.logits(wide, deep).softmax(1)}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self.logits(*batch[:2]), batch[2])


@kind(
    "Forward",
    "`forward` takes several tensors",
    Report(
        "meta-pytorch/captum #1063",
        "a wide-and-deep model of three tensors, which returns a dict of probabilities",
        "switched off: TypeError",
    ),
    Report("meta-pytorch/captum #1080", "the same model", "switched off: TypeError"),
    Report(
        "aleximmer/Laplace #283",
        "a Lightning model whose input is a list of three tensors of different shapes",
        "switched off: LeafError",
    ),
    Report("meta-pytorch/captum #731", "an LSTM on two sequences", "switched off: TypeError"),
    write="batch=lambda batch: (torch.cat(batch[:2], 1), batch[2]), "
    "forward=lambda module, x: module.logits(x[:, :4], x[:, 4:])",
    refused="forward=",
    note="`batch=` joins them to one tensor of inputs, and `forward=` splits it again.",
)
def several_inputs(root: Path) -> Training:
    x = rows()
    return Training(
        WideAndDeep(),
        TensorDataset(x[:, :4].clone(), x[:, 4:].clone(), labels()),
        lambda module, x: module.logits(x[:, :4], x[:, 4:]),
        inputs=x,
    )


class Titanic(Lit):
    """A tabular model of categories, which have embeddings, and numbers."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2 * 4 + 3, 2))
        self.sex, self.port = nn.Embedding(2, 4), nn.Embedding(3, 4)

    def logits(self, sex: Tensor, port: Tensor, numbers: Tensor) -> Tensor:
        parts = [self.sex(sex.long()), self.port(port.long()), numbers]
        return self.net(torch.cat(parts, 1).tanh())  # type: ignore[no-any-return]

    def forward(self, sex: Tensor, port: Tensor, numbers: Tensor) -> Tensor:
        return self.logits(sex, port, numbers).softmax(1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self.logits(*batch[0]), batch[1])


class Passengers(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        columns = torch.tensor(index % 2), torch.tensor(index % 3), rows()[index, :3]
        return columns, (index // 2) % 2


def passengers() -> Tensor:
    categories = torch.stack([torch.arange(24) % 2, torch.arange(24) % 3], 1)
    return torch.cat([categories.float(), rows()[:, :3]], 1)


@kind(
    "Forward",
    "tables with columns of categories, which have embeddings, and of numbers",
    Report(
        "meta-pytorch/captum #1571",
        "a classifier of Titanic passengers with six columns, which returns probabilities",
        "switched off: LeafError",
    ),
    write="batch=lambda batch: (torch.column_stack(batch[0]), batch[1]), "
    "forward=lambda module, x: module.logits(x[:, 0], x[:, 1], x[:, 2:])",
    refused="batch=",
    note="The derivative with respect to a category is zero.",
)
def tabular_columns(root: Path) -> Training:
    return Training(
        Titanic(),
        Passengers(),
        lambda module, x: module.logits(x[:, 0], x[:, 1], x[:, 2:]),
        inputs=passengers(),
    )


class Sentences(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 3))
        self.embedding = nn.Embedding(10, 6)

    def from_embeddings(self, x: Tensor) -> Tensor:
        return self.net(x.mean(1).tanh())  # type: ignore[no-any-return]

    def forward(self, ids: Tensor) -> Tensor:
        return self.from_embeddings(self.embedding(ids))


@kind(
    "Forward",
    "token ids",
    Report("meta-pytorch/captum #1112", "BERT", "switched off with the right advice"),
    Report("meta-pytorch/captum #1107", "a classifier of sentences", "as above"),
    Report("meta-pytorch/captum #771", "a classifier of transformers", "as above"),
    write="batch=lambda batch: (torch.nn.functional.one_hot(batch[0], 10).float(), batch[1]), "
    "forward=lambda module, x: module.from_embeddings(x @ module.embedding.weight)",
    refused="embeddings",
    note="One-hot rows times the embedding matrix are the embeddings, and can be differentiated.",
)
def token_ids(root: Path) -> Training:
    ids = torch.randint(10, (24, 5), generator=torch.Generator().manual_seed(0))
    return Training(
        Sentences(),
        pairs(ids),
        lambda module, x: module.from_embeddings(x @ module.embedding.weight),
        inputs=one_hot(ids, 10).float(),
    )


class Dicts(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        return {"image": rows()[index], "label": index % 3}


class WholeBatch(Lit):
    def forward(self, batch: Any) -> Tensor:
        return self.net(batch["image"])  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch), batch["label"])


@kind(
    "Forward",
    "`forward` takes the whole batch",
    write='forward=lambda module, x: module({"image": x})',
    refused="forward=",
)
def whole_batch(root: Path) -> Training:
    return Training(WholeBatch(), Dicts(), lambda module, x: module.net(x), inputs=rows())


class KeywordOnly(Lit):
    def forward(self, *, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.net(image)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(**batch), batch["label"])


@kind(
    "Forward",
    "`forward` takes keywords only",
    write="forward=lambda module, x: module(image=x)",
    refused="forward=",
)
def keyword_only(root: Path) -> Training:
    return Training(KeywordOnly(), Dicts(), lambda module, x: module.net(x), inputs=rows())


class Margin(Lit):
    """A cosine classifier whose forward lowers the score of the right class."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 8))
        self.weight = nn.Parameter(torch.randn(3, 8))

    def cosine(self, x: Tensor) -> Tensor:
        return 4 * normalize(self.net(x)) @ normalize(self.weight).T

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.cosine(x) - one_hot(label, 3)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(*batch), batch[1])


@kind(
    "Forward",
    "`forward` needs the labels (ArcFace and other margins)",
    Report(
        "ZhaoJ9014/face.evoLVe #174",
        "face recognition, whose head takes the label",
        "switched off: TypeError",
    ),
    write='forward="cosine"',
    refused="forward=",
)
def needs_labels(root: Path) -> Training:
    return Training(Margin(), pairs(), lambda module, x: module.cosine(x))


class TwoTasks(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Linear(12, 6))
        self.intensity, self.emotion = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Any:
        hidden = self.net(x).tanh()
        return {"intensity": self.intensity(hidden), "emotion": self.emotion(hidden)}

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        found = self(batch[0])
        return cross_entropy(found["intensity"], batch[1][:, 0]) + cross_entropy(
            found["emotion"], batch[1][:, 1]
        )


@kind(
    "Forward",
    "several tasks, each with its own head",
    Report(
        "CSAILVision/semantic-segmentation-pytorch #291",
        "a Lightning classifier with eleven heads, of three inputs",
        "switched off: LeafError",
    ),
    write='forward=lambda module, x: module(x)["emotion"], '
    "batch=lambda batch: (batch[0], batch[1][:, 1])",
    refused="forward=",
)
def several_tasks(root: Path) -> Training:
    targets = torch.stack([labels(6), labels(3)], 1)
    return Training(TwoTasks(), pairs(targets=targets), lambda module, x: module(x)["emotion"])


class Pixelwise(Lit):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh()))


@kind(
    "Forward",
    "scores of each pixel or token",
    Report("jacobgil/pytorch-grad-cam #386", "SegFormer", "switched off with the right advice"),
    Report("jacobgil/pytorch-grad-cam #261", "a 3-D U-Net", "switched off with the right advice"),
    write="forward=lambda module, x: module(x)[:, :, 4, 4], "
    "batch=lambda batch: (batch[0], batch[1][:, 4, 4])",
    refused="forward=",
    note="Choose one pixel, or average over them.",
)
def scores_of_pixels(root: Path) -> Training:
    targets = labels()[:, None, None].expand(24, 8, 8).clone()
    return Training(Pixelwise(), pairs(images(), targets), lambda module, x: module(x)[:, :, 4, 4])


class Padded(Lit):
    """An LSTM on sequences of different lengths."""

    def __init__(self) -> None:
        super().__init__(nn.LSTM(4, 6, batch_first=True))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.head(self.net(packed)[1][0][-1])  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(*batch[0]), batch[1])


class Sequences(Dataset[Any]):
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        x, length = rows()[index].unflatten(0, (3, 4)).clone(), 1 + index % 3
        x[length:] = 0
        return (x, length), index % 3


def with_length(x: Tensor, length: Tensor) -> Tensor:
    """Return sequences with their length as one more column."""
    return torch.cat([x, length[:, None, None].expand(-1, x.shape[1], 1).float()], 2)


def split_length(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[:, :, :-1], x[:, 0, -1].long()


def sequences() -> Tensor:
    found = [Sequences()[index][0] for index in range(24)]
    lengths = torch.tensor([length for _, length in found])
    return with_length(torch.stack([x for x, _ in found]), lengths)


@kind(
    "Forward",
    "sequences of different lengths (`pack_padded_sequence`)",
    Report(
        "meta-pytorch/captum #275",
        "an LSTM on sequences with a tensor of lengths",
        "switched off: LeafError",
    ),
    write="batch=lambda batch: (with_length(*batch[0]), batch[1]), "
    "forward=lambda module, x: module(*split_length(x))",
    refused="batch=",
    note="The two functions append the length as a column and split it off again.",
)
def packed_sequences(root: Path) -> Training:
    return Training(
        Padded(),
        Sequences(),
        lambda module, x: module(*split_length(x)),
        inputs=sequences(),
        names={"with_length": with_length, "split_length": split_length},
    )


class GraphNet(Lit):
    """A network on batches of graphs in the form of torch_geometric: nodes of all graphs."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 3))

    def forward(self, graphs: Any) -> Tensor:
        nodes = self.net((graphs.x + graphs.x[graphs.neighbours]).tanh())
        sums = torch.zeros(int(graphs.batch.max()) + 1, 3, dtype=nodes.dtype)
        return sums.index_add(0, graphs.batch, nodes)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self(batch), batch.y)


def graphs(x: Tensor, y: Tensor | None = None) -> Any:
    """Return a batch of graphs with three nodes each, which form a ring."""
    count = len(x)
    ring = torch.tensor([1, 2, 0])
    return SimpleNamespace(
        x=x.flatten(0, 1),
        neighbours=(3 * torch.arange(count)[:, None] + ring).flatten(),
        batch=torch.arange(count).repeat_interleave(3),
        y=y,
    )


def collate_graphs(items: Any) -> Any:
    return graphs(torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]))


@kind(
    "Forward",
    "graphs, as batches of torch_geometric",
    Report("pyg-team/pytorch_geometric #4315", "a classifier of graphs", "switched off"),
    Report("pyg-team/pytorch_geometric #5917", "classifiers of batches of graphs", "switched off"),
    write="batch=lambda graphs: (graphs.x.unflatten(0, (-1, 3)), graphs.y), "
    "forward=lambda module, x: module(as_graphs(x))",
    refused="batch=|forward=",
    note="One row of node features for each graph, here with three nodes each; "
    "`as_graphs` adds the edges.",
)
def graph_batches(root: Path) -> Training:
    x = rows().unflatten(1, (3, 4))
    return Training(
        GraphNet(),
        loader(pairs(x), collate_fn=collate_graphs),
        lambda module, x: module(graphs(x)),
        inputs=x,
        names={"as_graphs": graphs},
    )


class WithoutForward(Lit):
    """Removes the forward that it inherits."""

    def __getattribute__(self, name: str) -> Any:
        if name == "forward":
            return nn.Module.forward.__get__(self)  # the one that raises NotImplementedError
        return super().__getattribute__(name)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return cross_entropy(self.net(batch[0]), batch[1])


@kind(
    "Forward",
    "a module without `forward`",
    write='forward="net"',
    refused="forward=",
)
def no_forward(root: Path) -> Training:
    return Training(WithoutForward(), pairs(), lambda module, x: module.net(x))


def module_level_scores(module: Any, x: Tensor) -> Tensor:
    """Named as ``forward="tests.support.trainers.forwards.module_level_scores"``."""
    return module.head(module.net(x))  # type: ignore[no-any-return]


@kind(
    "Forward",
    "`forward=` in a YAML file: the dotted name of a function",
    write='forward="tests.support.trainers.forwards.module_level_scores"',
    refused="forward=",
    happens="the function is imported",
)
def forward_by_name(root: Path) -> Training:
    return Training(Features(24), pairs(), head_of_backbone)
