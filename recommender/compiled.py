"""Functions of plain loops, compiled to machine code by numba. What they compute is not known here.

What one decision needs took 1,900 small calls of numpy, 0.5 to 2 µs each with cold caches; compiled, a loop over 200
candidates takes some microseconds. Nothing is compiled while a module is imported (numba alone takes 0.4 s), nor in a
request: loading a bundle scores its golden examples, which calls every kernel once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from types import FunctionType
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["Kernel", "compiled"]

P = ParamSpec("P")
R = TypeVar("R")


class Kernel(Generic[P, R]):
    """A function that is compiled when it is first called, for one signature only: another type of argument raises
    TypeError instead of costing a second compilation."""

    def __init__(self, function: Callable[P, R], arguments: tuple[str, ...] | None) -> None:
        assert isinstance(function, FunctionType)
        self.function, self._arguments = function, arguments
        self.__doc__, self.__name__ = function.__doc__, function.__name__

    def __call__(self, *given: P.args, **named: P.kwargs) -> R:
        return self.machine_code(*given, **named)  # type: ignore[no-any-return]

    @cached_property
    def machine_code(self) -> Any:
        """numba's function: from its cache (beside the source, else the user's own) where that can be written; compiled
        in every process where it cannot."""
        from numba import njit

        options = {"nogil": True, "error_model": "numpy"}
        types = None if self._arguments is None else [_types(self._arguments)]
        try:
            return njit(types, cache=True, **options)(self._linked)
        except (RuntimeError, OSError):  # no folder that a cache may lie in, or a full disk
            return njit(types, **options)(self._linked)

    @property
    def _linked(self) -> FunctionType:
        """The function, calling numba's in place of the kernels that it names."""
        own = self.function
        named = {name: own.__globals__.get(name) for name in own.__code__.co_names}
        kernels = {name: found.machine_code for name, found in named.items() if isinstance(found, Kernel)}
        linked = FunctionType(own.__code__, own.__globals__ | kernels, own.__name__, own.__defaults__, own.__closure__)
        linked.__module__, linked.__qualname__ = own.__module__, own.__qualname__
        return linked


def compiled(*arguments: str) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Make a function a kernel. `arguments`: numba's name of each one's type, such as "int64" or "float32[:, ::1]";
    "const" before an array that is only read, which may then be read-only. Without any, the function is for other
    kernels of its file alone, and takes what they give it.
    """

    def made(function: Callable[P, R]) -> Kernel[P, R]:
        return Kernel(function, arguments or None)

    return made


def _types(arguments: tuple[str, ...]) -> tuple[Any, ...]:
    from numba.core.sigutils import normalize_signature

    found, _ = normalize_signature(f"({', '.join(text.removeprefix('const ') for text in arguments)},)")
    pairs = zip(arguments, found, strict=True)
    return tuple(kind.copy(readonly=True) if text.startswith("const ") else kind for text, kind in pairs)
