"""A YAML text as plain values with the line of each key, and its refusals in sentences. No key is known here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

import yaml

from recommender.errors import ConfigurationError

__all__ = ["Document", "Section"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_RULES = 16  # entries of one list of rules, such as boosts

T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """A mapping of the file whose keys are known; each method takes one key, or the default where it is missing."""

    document: Document
    path: str
    given: Mapping[str, Any]

    def read(self, name: str, default: T, convert: Callable[[str, Any], T]) -> T | None:
        """None where the file says null: the thing is switched off."""
        if name not in self.given:
            return default
        return None if self.given[name] is None else convert(self._at(name), self.given[name])

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self.given.get(name) or {}
        if not isinstance(value, Mapping):
            raise self.document.error(
                self._at(name), f"{value!r:.80}", "names with their settings", "Indent them below it."
            )
        return value

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        return self.document.whole(self._at(name), self.given[name], low, high) if name in self.given else default

    def number(self, name: str, default: float, low: float, high: float) -> float:
        return self.document.number(self._at(name), self.given[name], low, high) if name in self.given else default

    def flag(self, name: str, default: bool) -> bool:
        value = self.given.get(name, default)
        if not isinstance(value, bool):
            raise self.document.error(self._at(name), f"{value!r:.80}", "true or false", "Write one of them.")
        return value

    def one_of(self, name: str, known: Sequence[str], default: str) -> str:
        return self.document.one_of(self._at(name), self.given[name], known) if name in self.given else default

    def names(self, name: str, default: tuple[str, ...], known: Sequence[str]) -> tuple[str, ...]:
        return self.document.names(self._at(name), self.given[name] or [], known) if name in self.given else default

    def rules(self, name: str, default: tuple[T, ...], convert: Callable[[str, Any], T]) -> tuple[T, ...]:
        if name not in self.given:
            return default
        value = self.given[name] or []
        if not isinstance(value, list) or len(value) > MAX_RULES:
            raise self.document.error(self._at(name), f"{value!r:.80}", f"a list of at most {MAX_RULES}", "List them.")
        return tuple(convert(f"{self._at(name)}[{place}]", one) for place, one in enumerate(value))

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


@dataclass(frozen=True)
class Document:
    """A parsed file: plain values, and the line of each path such as `placements.home.pins[0].item`."""

    file: str
    value: Any
    lines: Mapping[str, int]

    @classmethod
    def parse(cls, raw: bytes, file: str) -> Document:
        lines: dict[str, int] = {}
        document = cls(file, None, lines)
        if len(raw) > MAX_BYTES:
            raise document.error("", f"{len(raw):,} bytes", f"at most {MAX_BYTES:,}", "Leave out what is no setting.")
        try:
            loader = yaml.SafeLoader(raw.decode())
            node = loader.get_single_node()
            return cls(file, None if node is None else document._plain(loader, node, ""), lines)
        except (yaml.YAMLError, ValueError) as problem:
            mark = getattr(problem, "problem_mark", None)
            lines[""] = mark.line + 1 if mark else 1
            told = getattr(problem, "problem", None) or str(problem)
            raise document.error("", f"what is no YAML ({told:.200})", "YAML in UTF-8", "Correct that line.") from None

    def error(self, path: str, found: str, expected: str, remedy: str) -> ConfigurationError:
        """The sentence for what was found at a path, with the nearest line that is known."""
        at = path
        while at not in self.lines and at:
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        where = f"{self.file}, line {self.lines.get(at, 1)}" + (f", key {path}" if path else "")
        return ConfigurationError(f"{where}: {found}.", f"{expected}.", remedy)

    def section(self, path: str, value: object, known: Sequence[str], needed: Sequence[str] = ()) -> Section:
        if not isinstance(value, Mapping):
            raise self.error(path, f"{value!r:.80}", f"keys among {', '.join(known)}", "Indent them below it.")
        for name in value:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                remedy = f"Did you mean {near[0]}?" if near else "Rename or remove it."
                at = f"{path}.{name}" if path else name
                raise self.error(at, f"the unknown key {name!r:.80}", f"one of {', '.join(known)}", remedy)
        for name in needed:
            if value.get(name) is None:
                raise self.error(path, f"no {name}", f"{', '.join(needed)} at least", f"Add {name}.")
        return Section(self, path, value)

    def whole(self, path: str, value: object, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.error(path, f"{value!r:.80}", f"a whole number from {low} to {high:,}", "Write such a number.")
        return value

    def number(self, path: str, value: object, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.error(path, f"{value!r:.80}", f"a number from {low:g} to {high:g}", _of_share(value, high))
        return float(value)

    def one_of(self, path: str, value: object, known: Sequence[str]) -> str:
        if isinstance(value, str) and value in known:
            return value
        near = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else []
        remedy = f"Did you mean {near[0]}?" if near else "Write one of them."
        raise self.error(path, f"{value!r:.80}", f"one of {', '.join(known)}", remedy)

    def names(self, path: str, value: object, known: Sequence[str]) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.error(path, f"{value!r:.80}", f"a list of {', '.join(known)}", "Write them as a list.")
        return tuple(dict.fromkeys(self.one_of(f"{path}[{place}]", one, known) for place, one in enumerate(value)))

    def moment(self, path: str, value: object) -> int:
        """A day (its beginning) or a time; without a zone in UTC."""
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError:
            moment = None
        if isinstance(moment, date) and not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        if not isinstance(moment, datetime):
            raise self.error(path, f"{value!r:.80}", "a day or a time such as 2026-11-20 08:00", "Write it that way.")
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)

    def _plain(self, loader: yaml.SafeLoader, node: yaml.Node, path: str, depth: int = 0) -> Any:
        """Plain values of a node; lines are noted on the way."""
        if depth > MAX_DEPTH:
            raise self.error(path, "what is nested too deeply", f"at most {MAX_DEPTH} levels", "Flatten it.")
        assert isinstance(self.lines, dict)
        if isinstance(node, yaml.SequenceNode):
            found = []
            for place, inner in enumerate(node.value):
                self.lines[f"{path}[{place}]"] = inner.start_mark.line + 1
                found.append(self._plain(loader, inner, f"{path}[{place}]", depth + 1))
            return found
        if isinstance(node, yaml.MappingNode):
            loader.flatten_mapping(node)
            values: dict[str, Any] = {}
            for key, inner in node.value:
                name = key.value
                at = f"{path}.{name}" if path else name
                if name in values:
                    self.lines[at] = key.start_mark.line + 1
                    raise self.error(at, "the same key twice", "it once", "Remove one.")
                self.lines[at] = key.start_mark.line + 1
                values[name] = self._plain(loader, inner, at, depth + 1)
            return values
        return loader.construct_object(node)  # type: ignore[no-untyped-call]


def _of_share(value: object, high: float) -> str:
    """What to do about a number out of range; percents are what people write for shares."""
    percent = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)\s*(%?)", str(value).strip())
    if high != 1 or percent is None or not (percent[2] or 1 < float(percent[1]) <= 100):
        return "Write such a number."
    return f"{float(percent[1]):g} % is {float(percent[1]) / 100:g}."
