"""Predictions in words: the most probable class, or all labels with p > ½."""

import torch

from lightning_leaf.drawing.predictions import NO_LABEL, NOT_FINITE, predicted_sets, predictions

P = torch.tensor([[0.6, 0.7, 0.2], [0.1, 0.5, 0.3], [0.4, 0.9, 0.51]])


def test_labels_above_one_half_are_named_and_have_no_single_probability():
    texts, probabilities = predictions(P.log(), "bernoulli", ("cat", "dog", "cow"))
    assert texts == ["cat, dog", NO_LABEL, "dog, cow"]
    assert probabilities.isnan().all()
    assert predictions(P.log(), "bernoulli")[0][0] == "0, 1"
    # Negative control: of exclusive classes, the most probable one is named.
    texts, probabilities = predictions(P.log(), "categorical", ("cat", "dog", "cow"))
    assert texts == ["dog"] * 3
    assert torch.allclose(probabilities, torch.tensor([0.7, 0.5, 0.9]))


def test_many_labels_are_counted_and_nan_is_no_label():
    many = torch.full((1, 30), 0.9).log()
    assert predictions(many, "bernoulli")[0] == ["0, 1, 2, 3, 4, 5 and 24 more"]
    many[0, 7] = torch.nan
    assert predictions(many, "bernoulli")[0] == [NOT_FINITE]


def test_predictions_of_the_same_labels_have_the_same_number():
    log_probs = torch.cat([P, P.flip(0), P + 0.01]).log()
    numbers = predicted_sets(log_probs, "bernoulli").tolist()
    texts = predictions(log_probs, "bernoulli")[0]
    for number, text in zip(numbers, texts, strict=True):
        same = [other == number for other in numbers]
        assert same == [other == text for other in texts]
    assert predicted_sets(P.log(), "categorical").tolist() == [1, 1, 1]
