"""The errors that this package raises. Messages state the rule, the value, and what to do."""


class LeafError(ValueError):
    """An input, a model or an argument that cannot be used."""


class NonFiniteError(LeafError):
    """NaN or infinity in the inputs or in the output of the model."""


class Interrupted(LeafError):
    """Work that was interrupted on request."""
