"""The models of RecTools that need no deep-learning framework: EASE and PureSVD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.ranking.datasets import Codes
from benchmarks.ranking.protocol import History, Scorer

__all__ = ["DENSE_ITEMS", "fit_ease", "fit_pure_svd"]

DENSE_ITEMS = 6_000  # EASE inverts items × items: of larger catalogues it gets the items most bought lately


def fit_ease(history: History, regularization: float) -> Scorer:
    """EASE (Steck 2019) on who bought what; items beyond DENSE_ITEMS get no score."""
    from rectools.models import EASEModel

    model = EASEModel(regularization=regularization)
    dataset = _dataset(history, DENSE_ITEMS)
    model.fit(dataset)
    place = dataset.item_id_map.convert_to_internal(np.arange(min(DENSE_ITEMS, len(history.items))))
    weights = np.asarray(model.weight)[np.ix_(place, place)]
    kept, rest = weights.shape[0], len(history.items) - weights.shape[0]

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        own = history.owned[rows][:, :kept] @ weights
        return np.pad(own, ((0, 0), (0, rest)))

    return scores


def fit_pure_svd(history: History, factors: int) -> Scorer:
    """PureSVD (Cremonesi, Koren, Turrin 2010) on who bought what."""
    from rectools.models import PureSVDModel

    model = PureSVDModel(factors=factors, random_state=0)
    dataset = _dataset(history, len(history.items))
    model.fit(dataset)
    place = dataset.item_id_map.convert_to_internal(np.arange(len(history.items)))
    row = dataset.user_id_map.convert_to_internal(np.arange(len(history.users)))
    users, items = np.asarray(model.user_factors)[row], np.asarray(model.item_factors)[place]

    def scores(rows: Codes) -> npt.NDArray[np.float64]:
        return np.asarray(users[rows] @ items.T)

    return scores


def _dataset(history: History, n_items: int) -> Any:
    from rectools import Columns
    from rectools.dataset import Dataset

    pairs = history.owned[:, :n_items].tocoo()
    own = {Columns.User: pairs.row, Columns.Item: pairs.col, Columns.Weight: 1.0, Columns.Datetime: "2000-01-01"}
    return Dataset.construct(pd.DataFrame(own))
