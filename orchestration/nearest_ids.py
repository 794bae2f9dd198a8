"""Which known id an unknown one was probably meant to be: other case, signs, zeros, prefix, or a letter or two off.

No sentence is made here. A million known ids take about a second for each unknown one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["nearest_ids"]

_MOST_COMPARED = 200_000  # letter by letter; of more ids of like length, those that begin alike
# What is forgotten of an id, in order: signs between letters and digits, leading zeros, what stands before the last
# sign, all but the last digits.
_SIGNS = (r"[^\p{L}\p{N}]+", "")
_ZEROS = (r"^0+", "")
_PREFIX = (r"^.*[^\p{L}\p{N}]", "")
_LETTERS = (r"^\D*0*", "")
# Of the unknown id and of the known ones; case is forgotten in each step.
_STEPS = (
    ((_SIGNS,), (_SIGNS,)),
    ((_SIGNS, _ZEROS), (_SIGNS, _ZEROS)),
    ((_PREFIX, _ZEROS), (_SIGNS, _ZEROS)),
    ((_SIGNS, _ZEROS), (_PREFIX, _ZEROS)),
    ((_LETTERS,), (_LETTERS,)),
)


def nearest_ids(unknown: Sequence[str], known: pa.Array) -> dict[str, str]:
    """Unknown id → known id, for those that have one near enough (a quarter of the letters at most, and at most 3)."""
    found: dict[str, str] = {}
    known = pc.unique(pc.drop_null(known))
    for of_unknown, of_known in _STEPS:
        left = [text for text in unknown if text not in found]
        if not left or not len(known):
            break
        plain = _plain(pa.array(left, pa.string()), of_unknown)
        places = pc.index_in(plain, value_set=_plain(known, of_known))
        for text, what_is_left, place in zip(left, plain.to_pylist(), places.to_pylist(), strict=True):
            if place is not None and what_is_left:
                found[text] = known[place].as_py()
    for text in unknown:
        if text not in found and (near := _nearest_by_letters(text, known)) is not None:
            found[text] = near
    return found


def _plain(ids: pa.Array, step: tuple[tuple[str, str], ...]) -> pa.Array:
    ids = pc.utf8_lower(ids)
    for pattern, put in step:
        ids = pc.replace_substring_regex(ids, pattern=pattern, replacement=put)
    return ids


def _nearest_by_letters(text: str, known: pa.Array) -> str | None:
    most = min(3, len(text) // 4)
    if most == 0 or not len(known):
        return None
    lengths = pc.utf8_length(known)
    close = pc.and_(pc.greater_equal(lengths, len(text) - most), pc.less_equal(lengths, len(text) + most))
    candidates = known.filter(close)
    if len(candidates) > _MOST_COMPARED:
        candidates = candidates.filter(pc.starts_with(candidates, text[:2]))[:_MOST_COMPARED]
    if not len(candidates):
        return None
    distances = _edit_distances(text, np.array(candidates.to_pylist(), dtype=np.str_))
    best = int(distances.argmin())
    return str(candidates[best].as_py()) if distances[best] <= most else None


def _edit_distances(text: str, ids: npt.NDArray[np.str_]) -> npt.NDArray[np.int16]:
    """Levenshtein's distance of one text to each of n, a row of his table at a time for all of them."""
    width = ids.dtype.itemsize // 4
    letters = ids.view(np.uint32).reshape(len(ids), width).T  # zeros where a text has ended
    lengths = (letters != 0).sum(axis=0)
    before = np.repeat(np.arange(width + 1, dtype=np.int16)[:, None], len(ids), axis=1)
    for row, letter in enumerate(text, 1):
        after = np.empty_like(before)
        after[0] = row
        for column in range(1, width + 1):
            changed = before[column - 1] + (letters[column - 1] != ord(letter))
            after[column] = np.minimum(np.minimum(before[column], after[column - 1]) + 1, changed)
        before = after
    found: npt.NDArray[np.int16] = before[lengths, np.arange(len(ids))]
    return found
