"""The errors of the functional core: each says what was expected, what came and what to do."""


class LeafError(ValueError):
    """An input, a model or an argument that the mathematics cannot use."""


class NonFiniteError(LeafError):
    """The inputs or the model's outputs hold NaN or infinity."""


class Interrupted(LeafError):
    """Work that was given up because somebody asked for it."""
