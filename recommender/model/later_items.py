"""A loaded model over a catalogue that has moved on since: the same ranker, new and changed items beside the known.

Features of a later item are those that a pipeline run would give an item nobody has touched. Nothing is learned here.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recommender.catalogue import Overlay, lay_over
from recommender.later_attributes import lay_attributes
from recommender.model.items import ItemMatrix
from recommender.model.scorer import RankingModel
from recommender.retrieval.later_items import later_codes, lay_generators

__all__ = ["lay_items"]

Number = TypeVar("Number", bound=np.generic)
Model = TypeVar("Model", bound=RankingModel)


def lay_items(model: Model, changes: pa.Table, catalogue_seq: int) -> tuple[Model, pa.Table]:
    """The model with rows of CATALOGUE_SCHEMA (one an item) laid over its items; the one given stays as it is.

    `catalogue_seq`: the journal's row up to which `changes` go; decisions are recorded with it. The same rows give the
    same bits, whatever was laid over before. Also given back: those of the changes that the model did not know.
    """
    overlay = lay_over(model.items, changes)
    lay_attributes(overlay)
    laid = object.__new__(type(model))
    given = {field.name: getattr(model, field.name) for field in fields(model)}
    given |= {
        "retriever": lay_generators(model.retriever, overlay),
        "matrix": _lay_matrix(model.matrix, overlay),
        "catalogue_seq": catalogue_seq,
    }
    for name, value in given.items():
        object.__setattr__(laid, name, value)
    return laid, overlay.changes


def _lay_matrix(below: ItemMatrix, overlay: Overlay) -> ItemMatrix:
    rows = overlay.touched
    part, n = ItemMatrix.of(overlay.part(rows)), len(overlay.items)
    return ItemMatrix(
        _placed(below.fixed, rows, part.fixed, n),
        _placed(below.listed_ms, rows, part.listed_ms, n),
        _placed(below.last_ms, rows, part.last_ms, n),
        _placed(below.log_price, rows, part.log_price, n),
        later_codes(below.category, overlay, "category"),
        later_codes(below.brand, overlay, "brand"),
    )


def _placed(
    below: npt.NDArray[Number], rows: npt.NDArray[np.int64], part: npt.NDArray[Number], n: int
) -> npt.NDArray[Number]:
    """`below` for n items, with the values of `part` at `rows`."""
    found = np.empty((n, *below.shape[1:]), dtype=below.dtype)
    found[: len(below)] = below
    found[rows] = part
    return found
