"""What an answer tells of its items besides their ids: columns of the catalogue, on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recommender.attributes import CATALOGUE_ATTRIBUTES, attributes_of
from recommender.errors import RequestError
from recommender.item_payload import COLUMNS, described
from recommender.states import ItemTable

__all__ = ["MAX_FIELDS", "MAX_PAGE", "PAGE_FIELDS", "PRESENTATION_FIELDS", "Presentation"]

PRESENTATION_FIELDS = ("fields", "include_items", "explain")
MAX_FIELDS = 50
PAGE_FIELDS = ("decision_id", "page")
MAX_PAGE = 1_000


@dataclass(frozen=True)
class Presentation:
    """`fields`: what each item is told with, None: nothing, (): everything; `explains`: with the reasons for it."""

    fields: tuple[str, ...] | None = None
    explains: bool = False

    @classmethod
    def taken_from(cls, body: dict[str, Any]) -> Presentation:
        """Read and remove what concerns the answer alone; RequestError with a sentence for another shape."""
        asked = {name: body.pop(name) for name in PRESENTATION_FIELDS if name in body}
        flags = {name: _flag(asked.get(name), name) for name in ("include_items", "explain")}
        fields = asked.get("fields")
        if fields is None:
            return cls(() if flags["include_items"] else None, flags["explain"])
        if not isinstance(fields, list) or not all(isinstance(name, str) and name for name in fields):
            raise _refused(f"fields = {fields!r:.80}", "a list of names", "List what each item is to be told with.")
        if not 0 < len(fields) <= MAX_FIELDS:
            raise _refused(f"{len(fields)} fields", f"1 to {MAX_FIELDS}", "List fewer, or send include_items.")
        return cls(tuple(dict.fromkeys(fields)), flags["explain"])

    def require_known(self, items: ItemTable) -> None:
        """RequestError for a field that no item of the catalogue has."""
        for name in self.fields or ():
            if name not in COLUMNS and name not in attributes_of(items).names:
                known = ", ".join((*COLUMNS, *(n for n in attributes_of(items).names if n not in CATALOGUE_ATTRIBUTES)))
                raise _refused(f"the unknown field {name!r:.80}", f"some of {known:.400}", "Rename or remove it.")

    def told(self, items: ItemTable, item_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """One object an item, with null where nothing is known; empty where the catalogue has the item no more."""
        rows = items.positions(list(item_ids)).tolist()
        return [described(items, row, self.fields or ()) if row >= 0 else {} for row in rows]


def _flag(value: object, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _refused(f"{name} = {value!r:.80}", "true or false", "Send a boolean.")


def _refused(found: str, expected: str, remedy: str) -> RequestError:
    return RequestError(f"{found}.", f"{expected}.", remedy)
