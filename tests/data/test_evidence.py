"""What scores mean is judged from targets, labels, names and the scores themselves."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from lightning_leaf import LeafError
from lightning_leaf.data.batches import Examples, read_batch
from lightning_leaf.data.evidence import Judgement, judge

X = torch.rand(6, 12)
MULTI_HOT = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 0, 1]])
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def scores(columns: int) -> Any:
    return 3 * torch.randn(6, columns, generator=torch.Generator().manual_seed(0))


def judged(targets: Any, columns: int, **options: Any) -> Judgement:
    examples = read_batch((X, targets) if targets is not None else X)
    if "class_names" in options:
        examples = Examples(X, examples.labels, None, options.pop("class_names"))
    return judge(examples, scores(columns), **({"likelihood": None} | options))


MEANINGS = {
    "class numbers": ((Y, 3), ("categorical", 3), "the labels are whole numbers from 0 to 2"),
    "soft rows": ((torch.full((6, 3), 1 / 3), 3), ("categorical", 3), "the labels are 0"),
    "one logit": ((Y % 2, 1), ("categorical", 2), "the labels are 0 and 1"),
    "float targets of one logit": (((Y % 2).float(), 1), ("categorical", 2), "class 1 against"),
    "several labels": ((MULTI_HOT.float(), 3), ("bernoulli", 3), "no label or several"),
    "no labels": ((None, 3), ("categorical", 3), "no labels that say otherwise"),
}


@pytest.mark.parametrize(("given", "expected", "because"), MEANINGS.values(), ids=MEANINGS.keys())
def test_scores_are_read_as_the_targets_suggest(given: Any, expected: Any, because: str) -> None:
    judgement = judged(*given)
    assert (judgement.likelihood, judgement.classes) == expected
    assert because in judgement.assumption
    # What the user says has precedence.
    other = judged(*given, likelihood="bernoulli")
    assert (other.likelihood, other.classes) == ("bernoulli", given[1])
    assert 'because likelihood="bernoulli" was given' in other.assumption


def unit(columns: int) -> torch.Tensor:
    return torch.nn.functional.normalize(scores(columns), dim=1)


SAMPLE = tuple(random.Random(0).choices(range(3), k=64))
MEANINGLESS: dict[str, tuple[Any, Any, str]] = {
    "regression": ((X, torch.rand(6)), scores(1), "numbers that are not class numbers"),
    "several outputs": ((X, torch.randn(6, 2)), scores(2), "rows of 2 numbers"),
    "several tasks": ((X, torch.stack([Y, Y + 1], 1)), scores(3), "for several tasks"),
    "features": ((X, Y), scores(8), "no label above 2: the scores may be features"),
    "embeddings": ((X, None), unit(8), "have norm 1, as embeddings"),
    "reconstructions": ((X, None), scores(12), "the shape of the inputs"),
    "features of several labels": ((X, MULTI_HOT), scores(8), "each of the 3 labels"),
    "features of rows": ((X, torch.eye(3)[Y]), scores(8), "each of the 3 columns"),
}


@pytest.mark.parametrize(
    ("batch", "given", "message"), MEANINGLESS.values(), ids=MEANINGLESS.keys()
)
def test_scores_without_this_meaning_are_refused(batch: Any, given: Any, message: str) -> None:
    examples = read_batch(batch)
    seen = SAMPLE if examples.labels is not None else None
    with pytest.raises(LeafError, match=message):
        judge(examples, given, likelihood=None, labels_seen=seen)
    # The error names what helps, and it does.
    assert judge(examples, given, likelihood="categorical", labels_seen=seen).classes >= 2


def test_labels_that_exceed_the_classes_are_refused_whatever_the_user_says() -> None:
    for likelihood in (None, "categorical", "bernoulli"):
        with pytest.raises(LeafError, match=r'label 2, but .* classes 0 to 1.*batch=\("image"'):
            judged(Y, 2, likelihood=likelihood)
        with pytest.raises(LeafError, match="regression cannot be measured"):
            judged(Y, 1, likelihood=likelihood)
    with pytest.raises(LeafError, match="got label 7"):
        judged(None, 3, labels_seen=(0, 7))


def test_names_of_classes_are_evidence() -> None:
    assert judged(Y, 8, class_names=tuple("abcdefgh"), labels_seen=SAMPLE).classes == 8
    with pytest.raises(LeafError, match=r"3 classes that have a name; got 8 scores.*class_names="):
        judged(Y, 8, class_names=("a", "b", "c"))
    assert judged(Y % 2, 1, class_names=("a", "b")).classes == 2


def test_a_few_labels_of_many_classes_are_no_evidence() -> None:
    # 64 random examples of 100 classes have a label above 85, with a probability of 0.9999.
    rarely = 0
    for seed in range(200):
        labels = tuple(random.Random(seed).choices(range(100), k=64))
        examples = Examples(X, labels[:6], targets="classes")
        try:
            judge(examples, scores(100), likelihood=None, labels_seen=labels)
        except LeafError:
            rarely += 1
    assert rarely == 0
    # Labels of chosen positions are no random sample.
    assert judged(torch.zeros(6, dtype=torch.long), 100).classes == 100


def test_the_advice_suits_a_part_that_the_user_chose() -> None:
    for explicit, advice in ((False, "forward=lambda module"), (True, "another part")):
        with pytest.raises(LeafError, match=advice):
            judged(Y, 8, labels_seen=SAMPLE, explicit_forward=explicit)


def test_probabilities_of_labels_are_refused_unless_the_user_insists() -> None:
    examples = read_batch((X, MULTI_HOT.float()))
    probabilities = (3 * torch.randn(6, 3)).sigmoid().clamp(1e-6, 1 - 1e-6)
    with pytest.raises(LeafError, match=r"module\(x\)\.logit\(\)"):
        judge(examples, probabilities, likelihood=None)
    assert judge(examples, probabilities, likelihood="bernoulli").likelihood == "bernoulli"
    # Negative control: logits, and the scores of a last layer that is zero.
    for logits in (probabilities.logit(), torch.zeros(6, 3)):
        assert judge(examples, logits, likelihood=None).likelihood == "bernoulli"


def test_labels_that_count_from_one_are_refused_with_advice_that_works() -> None:
    labels = Y + 1
    assert set(labels.tolist()) == {1, 2, 3}
    with pytest.raises(LeafError, match=r"count from 1.*batch\[1\] - 1"):
        judge(read_batch((X, labels)), scores(3), likelihood=None)
    moved = read_batch((X, labels), lambda batch: (batch[0], batch[1] - 1))
    assert judge(moved, scores(3), likelihood=None).classes == 3
