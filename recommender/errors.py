"""Every exception that nextbest raises on purpose lives here, and nothing else does.

NextbestError                    a sentence for a person: what was found, what was expected, what to do
├── InputError                   something handed to us cannot be used
│   ├── SourceError              a source's folder, files, columns or types
│   ├── ConfigurationError       the operator's nextbest.yml: file, line and key are named
│   ├── NoAddressError           a person whom a sender cannot reach
│   └── RequestError             a request to the service (answers 400)
├── NotReadyError                this machine or workspace is not ready (port in use, no champion yet)
│   ├── NoChampionError          nothing was promoted so far
│   └── FeatureStoreError        the online store cannot be read now (the service answers from a simpler tier)
├── IntegrityError               stored bytes are not what was written (a corrupt bundle)
└── GateError                    a gate refused; carries the reasons
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "FeatureStoreError",
    "GateError",
    "InputError",
    "IntegrityError",
    "NextbestError",
    "NoAddressError",
    "NoChampionError",
    "NotReadyError",
    "RequestError",
    "SourceError",
]


class NextbestError(Exception):
    """A problem told in three parts, so that whoever reads it knows the next step."""

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        self.found, self.expected, self.remedy = found, expected, remedy
        super().__init__(f"Found: {found} Expected: {expected} What to do: {remedy}")

    def __reduce__(self) -> tuple[type[NextbestError], tuple[str, str, str]]:
        """Told in three parts on the other side of a process as well."""
        return type(self), (self.found, self.expected, self.remedy)


class InputError(NextbestError):
    """Something handed to us cannot be used."""


class SourceError(InputError):
    """A source's folder, files, columns or types cannot be used."""


class ConfigurationError(InputError):
    """The operator's file cannot be used as it stands; what was in force stays in force."""


class NoAddressError(InputError):
    """A person whom a sender cannot reach: theirs alone stays, all others' messages go."""


class RequestError(InputError):
    """A request cannot be answered as it stands; the service turns it into a 400."""


class NotReadyError(NextbestError):
    """The machine or the workspace is not ready for what was asked."""


class NoChampionError(NotReadyError):
    """Nothing has been promoted yet, so there is nothing to serve."""


class FeatureStoreError(NotReadyError):
    """The online store cannot be read now."""


class IntegrityError(NextbestError):
    """Stored bytes are not the bytes that were written."""


class GateError(NextbestError):
    """A gate refused; `reasons` holds one sentence for each failed condition."""

    def __init__(self, found: str, expected: str, remedy: str, reasons: tuple[str, ...] = ()) -> None:
        self.reasons = reasons
        super().__init__(found, expected, remedy)
