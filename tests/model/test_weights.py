"""What entries weigh, as arithmetic over people with long, short and empty histories; nobody depends on the others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from recommender.events import DAY_MS
from recommender.retrieval.weights import (
    fade_history,
    scale_to_one,
    weigh_by_taste,
    weigh_due,
    weigh_mind,
    weigh_session,
)

N_ITEMS = 40
LENGTHS = (5, 0, 1, 12, 0)
OFFSETS = np.cumsum([0, *LENGTHS])
OWNER = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
NOW = np.arange(len(LENGTHS)) * DAY_MS + 400 * DAY_MS
ITEM, STRENGTH, COUNT, BOUGHT, FIRST, LAST = range(6)


def histories() -> np.ndarray:
    """As `UserBatch.history_table`: some bought often, some once, some never; a few in what is the future of others."""
    rng, n = np.random.default_rng(5), OFFSETS[-1]
    item = np.concatenate([rng.permutation(N_ITEMS)[:length] for length in LENGTHS])
    first = rng.integers(300, 380, n) * DAY_MS + rng.integers(0, DAY_MS, n)
    last = first + rng.integers(0, 3, n) * rng.integers(0, 40 * DAY_MS, n)
    return np.stack([item, rng.integers(0, 30, n), rng.integers(1, 9, n), rng.integers(0, 5, n), first, last])


def age_days(history: np.ndarray) -> np.ndarray:
    return np.maximum(NOW[OWNER] - history[LAST], 0) / DAY_MS


def faded(history: np.ndarray, half_life_days: float = 30.0) -> np.ndarray:
    found = np.empty(history.shape[1])
    fade_history(history, OFFSETS, NOW, half_life_days, found)
    return found


def test_a_half_life_halves() -> None:
    history = histories()
    np.testing.assert_allclose(faded(history), 2 ** -(age_days(history) / 30), rtol=1e-14)
    assert (age_days(history) == 0).any()


def test_what_is_due_again_is_the_hazard_of_its_gap() -> None:
    history, rng = histories(), np.random.default_rng(6)
    gap_days, repeat = rng.uniform(2, 50, N_ITEMS).astype(np.float32), rng.random(N_ITEMS).astype(np.float32)
    found = np.empty(history.shape[1], dtype=np.float32)
    weigh_due(history, OFFSETS, NOW, gap_days, repeat, 2.0, 1.0, found)
    item, bought, span = history[ITEM], history[BOUGHT], (history[LAST] - history[FIRST]) / DAY_MS
    known = np.where(span >= 1, np.maximum(bought - 1, 0), 0)
    gap = np.maximum((span * (known > 0) + 2 * gap_days[item]) / (known + 2), 1)
    again, due = (known + 2 * repeat[item]) / (known + 2), age_days(history) / gap
    np.testing.assert_allclose(found, np.where(bought > 0, again * due * np.exp(1 - due), 0), rtol=1e-6)
    assert 0 < np.count_nonzero(bought == 0) < len(bought)


def test_tastes_are_shares_of_what_is_kept() -> None:
    history = histories()
    is_kept, found = history[ITEM] % 4 > 0, np.empty(history.shape[1], dtype=np.float32)
    weigh_by_taste(history, OFFSETS, faded(history), is_kept, found)
    weight = np.log1p(history[STRENGTH]) * faded(history) * is_kept
    total = np.bincount(OWNER, weights=weight, minlength=len(LENGTHS))
    np.testing.assert_allclose(found, weight / np.maximum(total, 1e-12)[OWNER], rtol=1e-6)
    nobody = np.zeros(len(is_kept), dtype=np.bool_)
    weigh_by_taste(history, OFFSETS, faded(history), nobody, found)
    assert not found.any()


RECENT_ITEM = np.array([3, -1, 4, 3, 3, 9, 9, 7])
RECENT_MS = np.array([50, 49, 48, 40, 30, 20, 19, 18]) * DAY_MS
IS_SKIP = np.array([False, False, True, False, False, False, True, False])
RECENT_OFFSETS = np.array([0, 5, 5, 7, 8])
SHOWN, SHOWN_OFFSETS = np.array([-1, 8, 8]), np.array([0, 0, 0, 2, 3])  # of the third and the fourth


def room() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = len(RECENT_ITEM) + len(SHOWN)
    return np.empty(n, dtype=np.int64), np.empty(n, dtype=np.float32), np.empty(5, dtype=np.int64)


def seeds_of(found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> list[list[tuple[int, float]]]:
    """(item, weight) of each person."""
    item, weight, bounds = found
    pairs = list(zip(item.tolist(), weight.tolist(), strict=True))
    return [pairs[low:high] for low, high in pairwise(bounds.tolist())]


def test_a_session_is_the_context_and_the_latest_events() -> None:
    found = room()
    weigh_session(RECENT_OFFSETS, RECENT_ITEM, RECENT_MS, IS_SKIP, SHOWN_OFFSETS, SHOWN, 10.0, *found)
    first, second, third, fourth = seeds_of(found)
    assert first == [(3, 1.0), (3, 2**-1.0), (3, 2**-2.0)]  # 0, 10 and 20 days before the newest
    assert second == []
    assert third == [(8, 1.0), (9, 1.0)]
    assert fourth == [(8, 1.0), (7, 1.0)]


def test_a_mind_is_the_context_alone_where_there_is_one() -> None:
    found = room()
    now = np.full(4, 60 * DAY_MS)
    weigh_mind(RECENT_OFFSETS, RECENT_ITEM, RECENT_MS, IS_SKIP, SHOWN_OFFSETS, SHOWN, now, 2.0, 10.0, *found)
    first, second, third, fourth = seeds_of(found)
    assert first == [
        (3, 1.0),
        (3, float(np.float32(2**-2.5))),
        (3, 2**-4.0),
    ]  # places 0, 3, 4; 0, 10 and 20 days before the newest
    assert (second, third, fourth) == ([], [(8, 1.0)], [(8, 1.0)])


@pytest.mark.parametrize("user", range(len(LENGTHS)))
def test_a_person_alone_weighs_the_same_to_the_bit(user: int) -> None:
    history, everybody = histories(), faded(histories())
    own = slice(OFFSETS[user], OFFSETS[user + 1])
    alone, bounds = np.ascontiguousarray(history[:, own]), np.array([0, LENGTHS[user]])
    found = np.empty(LENGTHS[user])
    fade_history(alone, bounds, NOW[user : user + 1], 30.0, found)
    assert found.tobytes() == everybody[own].tobytes()
    together, by_taste = np.empty(history.shape[1], np.float32), np.empty(LENGTHS[user], np.float32)
    every = np.ones(history.shape[1], dtype=np.bool_)
    weigh_by_taste(history, OFFSETS, everybody, every, together)
    weigh_by_taste(alone, bounds, found, every[own], by_taste)
    assert by_taste.tobytes() == together[own].tobytes()


def test_rows_are_scaled_to_length_one_and_empty_ones_stay() -> None:
    rows = np.array([[3, 4, 0], [0, 0, 0], [0, -2, 0]], dtype=np.float32)
    scale_to_one(rows)
    np.testing.assert_allclose(rows, [[0.6, 0.8, 0], [0, 0, 0], [0, -1, 0]], rtol=1e-7)
