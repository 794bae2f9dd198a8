"""The one assembler: user states, items, candidates and a moment become the model's matrix, in training and in serving.

Every value depends on one user, one item and the moment alone, never on the other users of a batch
or on the other candidates. So a row assembled alone has the same bits as in a batch of thousands. The loops
themselves are `assembly`'s. Nothing is scored here.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from recommender.events import DAY_MS
from recommender.model.assembly import PERSON_COLUMNS, fill_rows
from recommender.model.items import ITEM_FEATURES, ItemMatrix
from recommender.retrieval.candidates import Candidates, UserBatch
from recommender.states import Contexts

__all__ = ["assemble", "feature_groups", "feature_names", "feature_version"]

USER_FEATURES = (
    "user_events",
    "user_purchases",
    "user_items",
    "user_skips",
    "user_days_since_last",
    "user_days_since_first",
    "user_purchase_days",
    "user_purchase_gap",
    "user_due_ratio",
    "user_items_per_purchase_day",
    "user_spend_per_purchase",
    "user_repeat_share",
)
# Of a person's latest visits (UTC days with an event; recent: since the third latest purchase day): log(1 + items last
# touched on the latest), which share of them was new to the person, the same share and the mean log popularity of what
# was chosen of late; nan without a history.
VISIT_FEATURES = ("user_visit_items", "user_visit_new_share", "user_recent_new_share", "user_recent_popularity")
MOMENT_FEATURES = ("item_age_days", "item_idle_days")
PAIR_FEATURES = (
    "pair_events",
    "pair_purchases",
    "pair_strength",
    "pair_share",
    "pair_days_since_last",
    "pair_days_since_first",
    "pair_gap_days",
    "pair_due_ratio",
    "pair_events_per_day",
    "pair_days_before_last_visit",
    "pair_visits_since_last",
    "pair_visits_since_first",
    "pair_events_per_visit",
    "pair_recency_rank",
    "pair_is_in_last_visit",
    "pair_recent_events",
    "pair_recent_skips",
)
# Category, brand and price against what the person chose; how much more popular, and how much longer listed (log days),
# than what was chosen of late.
AFFINITY_FEATURES = (
    "category_share",
    "brand_share",
    "price_distance",
    "price_difference",
    "popularity_difference",
    "age_difference",
)
# The moment itself. The same for all candidates of a slate, so trees can use it only together with what tells items
# apart. Retrospective slates all lie at their cut (one hour, one placement, no device), where a tree finds nothing to
# split: what the hour or the device changes is learnt from served slates alone, as they logged it.
CONTEXT_FEATURES = (
    "context_items",
    "moment_hour",
    "moment_weekday",
    "moment_placement",
    "moment_device",
    "moment_channel",
)


def feature_groups(generators: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The columns of each group, in the order of the matrix; the retrieval columns follow the generators'."""
    retrieval = tuple(f"retrieval_{name}" for name in generators)
    relative = tuple(f"retrieval_{name}_relative" for name in generators)
    return {
        "user": (*USER_FEATURES, *VISIT_FEATURES),
        "item": (*ITEM_FEATURES, *MOMENT_FEATURES),
        "pair": PAIR_FEATURES,
        "affinity": AFFINITY_FEATURES,
        "context": CONTEXT_FEATURES,
        "retrieval": (*retrieval, *relative),
    }


def feature_names(generators: Sequence[str]) -> tuple[str, ...]:
    """Columns of the matrix, in order."""
    return tuple(name for group in feature_groups(generators).values() for name in group)


def feature_version(names: Sequence[str]) -> str:
    """Twelve hex digits that change when a column is added, dropped, renamed, moved or redefined."""
    return hashlib.sha256("\n".join((DEFINITIONS, *names)).encode()).hexdigest()[:12]


HOUR_MS = 3_600_000
THURSDAY = 3  # 1970 began on one
CODES = 1024  # few texts are in use: a chance of 1 in 100 that two of five devices share a code
POPULARITY = ITEM_FEATURES.index("item_popularity")

DEFINITIONS = "1"  # raise when a column keeps its name and changes its meaning


def assemble(batch: UserBatch, items: ItemMatrix, candidates: Candidates) -> npt.NDArray[np.float32]:
    """float32 (n_candidates, n_features), C-contiguous, columns as `feature_names(candidates.generators)`.

    Days are fractional; counts are log(1 + count) where they grow without bound; nan where a value
    does not exist (days since an event that never happened), which XGBoost learns to read.
    """
    users = batch.users
    n_columns = _width(len(candidates.generators))
    matrix = np.empty((len(candidates), n_columns), dtype=np.float32)
    fill_rows(
        batch.at_ms,
        users.integers_of(PERSON_COLUMNS),
        _moment_columns(batch.contexts),
        batch.history_offsets,
        batch.history_table,
        users.offsets("purchase_days"),
        users.flat_integers("purchase_days"),
        batch.recent_offsets,
        batch.recent_item,
        batch.recent_is_skip,
        items.fixed,
        items.listed_ms,
        items.last_ms,
        items.log_price,
        items.category,
        items.brand,
        items.category_count,
        items.brand_count,
        POPULARITY,
        candidates.offsets,
        candidates.item_index,
        candidates.retrieval_scores,
        candidates.relative,
        matrix,
    )
    return matrix


@cache
def _width(n_generators: int) -> int:
    return len(feature_names([""] * n_generators))


def _moment_columns(contexts: Contexts) -> npt.NDArray[np.float64]:
    """CONTEXT_FEATURES of each moment: UTC hour (fractional, 0 to 24), weekday (Monday 0), and a stable code for each
    text (nan where unknown)."""
    rows = [
        (len(named), at % DAY_MS / HOUR_MS, (at // DAY_MS + THURSDAY) % 7, _code(place), _code(device), _code(channel))
        for named, at, place, device, channel in zip(
            contexts.context_item_ids,
            contexts.at_ms.tolist(),
            contexts.placement,
            contexts.device,
            contexts.channel,
            strict=True,
        )
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(CONTEXT_FEATURES))


@lru_cache(maxsize=4096)
def _code(text: str) -> float:
    """The same number for the same text in every process and version, whatever other texts there are."""
    return float(zlib.crc32(text.encode()) % CODES) if text else math.nan
