"""Kernels: compiled once, for the types that they name, wherever the source lies and whether or not it can be kept."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.compiled import Kernel, compiled


@compiled()
def _doubled(value: float) -> float:
    return 2 * value


@compiled("const float32[::1]", "float32[::1]")
def double(given: np.ndarray, found: np.ndarray) -> None:
    """Each value twice."""
    for place in range(len(given)):
        found[place] = _doubled(given[place])


def test_a_kernel_may_name_others_and_read_what_must_not_be_written() -> None:
    given, found = np.array([1, 2.5], dtype=np.float32), np.zeros(2, dtype=np.float32)
    given.flags.writeable = False
    double(given, found)
    assert found.tolist() == [2, 5]
    assert (double.__name__, double.__doc__) == ("double", "Each value twice.")


@pytest.mark.parametrize(
    "given",
    [np.zeros(2), np.zeros((2, 1), np.float32), np.zeros(4, np.float32)[::2]],
    ids=["another precision", "two dimensions", "with gaps"],
)
def test_other_types_are_refused_instead_of_compiled_for(given: np.ndarray) -> None:
    with pytest.raises(TypeError):
        double(given, np.zeros(2, dtype=np.float32))


def test_what_is_written_to_must_be_writable() -> None:
    found = np.zeros(2, dtype=np.float32)
    found.flags.writeable = False
    with pytest.raises(TypeError):
        double(found, found)


def test_where_nothing_can_be_kept_a_kernel_is_compiled_in_every_process() -> None:
    """A function without a file has no place for numba's cache: numba refuses to compile it with one."""
    made: dict[str, object] = {}
    exec("def squared(value):\n    return value * value\n", made)
    kernel: Kernel = compiled("float64")(made["squared"])  # type: ignore[arg-type]
    assert kernel(3.0) == 9


def test_nothing_is_compiled_before_the_first_call() -> None:
    kernel = compiled("float64")(lambda value: value)
    assert "machine_code" not in vars(kernel)
