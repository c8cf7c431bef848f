"""What the LEAF callbacks of a trainer report: each cause once, and once more at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lightning.pytorch.utilities import rank_zero_only

from lightning_leaf.errors import message_of, place_of, type_name
from lightning_leaf.monitoring import messages
from lightning_leaf.monitoring.messages import one_line
from lightning_leaf.trainer import processes

inform = rank_zero_only(messages.inform)
"""Log a message on rank zero."""
log_warning = rank_zero_only(messages.log_warning)
"""Log a warning on rank zero."""
warn = rank_zero_only(messages.warn)
"""Log a warning on rank zero, and warn: Python shows an equal warning only once."""


@dataclass(frozen=True)
class Failure:
    """An error that switched a callback off.

    Attributes:
        who: The callback, such as ``"LocalDataMatrixMonitor(name='leaf')"``.
        cause: The error in one line, what was being done, and what to write to make it work.
        kind: Type of the error.
        place: File and line in which it was raised; its message if that was in another process.
        measured: Whether the callback had measured something in this fit.
    """

    who: str
    cause: str
    kind: type[BaseException]
    place: str
    measured: bool

    @classmethod
    def of(cls, who: str, error: BaseException, doing: str, measured: bool) -> Failure:
        """Return the failure of a callback.

        Args:
            who: The callback.
            error: The error.
            doing: What was being done, such as ``"choosing the probe"``.
            measured: Whether the callback had measured something in this fit.
        """
        place, _ = place_of(error)
        if not place or place.startswith(f"{processes.__file__}:"):
            place = message_of(error)
        cause = f"{type_name(error)}: {one_line(error)} This happened while {doing}."
        return cls(who, cause, type(error), place, measured)

    def has_cause_of(self, other: Failure) -> bool:
        """Return whether both failures have the same cause: the same error at the same place."""
        return (self.kind, self.place) == (other.kind, other.place)


@dataclass
class Notices:
    """The reports of all LEAF callbacks of a trainer in one fit.

    Attributes:
        failures: The failures so far.
        postponed: Why a callback has not begun yet, by callback.
    """

    failures: list[Failure] = field(default_factory=list)
    postponed: dict[str, BaseException] = field(default_factory=dict)
    _informed: set[str] = field(default_factory=set)
    _concluded: bool = False

    def inform_once(self, message: str, about: str = "") -> None:
        """Log a message, unless a LEAF callback has logged it in this fit.

        Args:
            message: The message.
            about: What it is about, if messages differ. Only the first is logged.
        """
        if (about or message) not in self._informed:
            self._informed.add(about or message)
            inform(message)

    def switched_off(self, failure: Failure, advice: str) -> None:
        """Report a failure, unless the same cause was reported in this fit.

        Args:
            failure: The failure.
            advice: What to write to make it work; empty if unknown or in the error itself.
        """
        known = any(failure.has_cause_of(other) for other in self.failures)
        failure = replace(failure, cause=f"{failure.cause} {advice}".rstrip())
        self.failures.append(failure)
        if not known:
            warn(
                f"{failure.who} has switched itself off for the rest of this fit; training "
                f"continues. Cause: {failure.cause} (Pass on_error='raise' to get the traceback.)"
            )

    def conclude(self, measured: bool) -> None:
        """Report at the end of the fit what was not measured, once for all callbacks.

        Args:
            measured: Whether any LEAF callback has measured something in this fit.
        """
        if self._concluded:
            return
        self._concluded = True
        unbuilt = [
            Failure.of(who, error, "waiting for the trainer to build the model", False)
            for who, error in self.postponed.items()
        ]
        failures = [*self.failures, *unbuilt]
        if not failures:
            return
        causes = " ".join(_summary(group) for group in _by_cause(failures))
        if not measured:
            log_warning(f"LEAF measured nothing in this fit because of an error. {causes}")
        else:
            log_warning(f"LEAF did not measure all in this fit because of an error. {causes}")


def _by_cause(failures: Sequence[Failure]) -> list[list[Failure]]:
    groups: list[list[Failure]] = []
    for failure in failures:
        group = next((each for each in groups if failure.has_cause_of(each[0])), None)
        if group is None:
            groups.append([failure])
        else:
            group.append(failure)
    return groups


def _summary(failures: Sequence[Failure]) -> str:
    return f"{', '.join(failure.who for failure in failures)}: {failures[0].cause}"
