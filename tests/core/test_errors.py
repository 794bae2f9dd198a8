"""Every error is listed, drawn in the tree, and tells what was found, what was expected and what to do."""

from __future__ import annotations

import inspect
import re

import pytest

from recommender import errors
from recommender.errors import GateError, InputError, NextbestError, RequestError

CLASSES = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]


def test_the_public_names_are_sorted_and_complete() -> None:
    assert errors.__all__ == sorted(cls.__name__ for cls in CLASSES)


@pytest.mark.parametrize("cls", CLASSES)
def test_each_error_is_drawn_below_its_parent(cls: type[Exception]) -> None:
    assert issubclass(cls, NextbestError)
    drawn = re.finditer(r"^([│├└─ ]*)(\w+Error)", errors.__doc__ or "", re.MULTILINE)
    depth = {match[2]: len(match[1]) for match in drawn}
    assert cls.__name__ in depth
    parent = cls.__mro__[1].__name__
    if cls is not NextbestError:
        assert depth[cls.__name__] > depth[parent]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_message_has_three_parts(cls: type[NextbestError]) -> None:
    error = cls("a cat.", "a dog.", "Bring a dog.")
    assert (error.found, error.expected, error.remedy) == ("a cat.", "a dog.", "Bring a dog.")
    assert str(error) == "Found: a cat. Expected: a dog. What to do: Bring a dog."


def test_a_bad_request_is_bad_input_and_a_gate_carries_its_reasons() -> None:
    assert issubclass(RequestError, InputError)
    assert GateError("a", "b", "c", reasons=("too few events",)).reasons == ("too few events",)
