"""What the assembler needs of every item, computed once per item table. No user and no moment enters here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from recommender.states import ItemTable

__all__ = ["ITEM_FEATURES", "ItemMatrix"]

Values = npt.NDArray[np.float32]

# Features that are the same at any moment; their order is the order of `ItemMatrix.fixed`'s columns.
ITEM_FEATURES = (
    "item_events",
    "item_events_1d",
    "item_events_7d",
    "item_events_28d",
    "item_users",
    "item_users_28d",
    "item_purchases_28d",
    "item_new_users_7d",
    "item_new_users_14d",
    "item_new_users_28d",
    "item_popularity",
    "item_repeat_rate",
    "item_events_per_user",
    "item_trend",
    "item_news_trend",
    "item_new_share",
    "item_click_rate",
    "item_cart_rate",
    "item_skip_rate",
    "item_price",
)


@dataclass(frozen=True)
class ItemMatrix:
    """Item features by item index: `fixed` float32 (n_items, len(ITEM_FEATURES)); counts and price as log(1 + x).

    `listed_ms`, `last_ms` int64, 0 where unknown; `log_price` float64, nan where unknown; `category`
    and `brand` int32 codes, −1 where unknown.
    """

    fixed: Values
    listed_ms: npt.NDArray[np.int64]
    last_ms: npt.NDArray[np.int64]
    log_price: npt.NDArray[np.float64]
    category: npt.NDArray[np.int32]
    brand: npt.NDArray[np.int32]

    @cached_property
    def category_count(self) -> int:
        """One more than the highest code."""
        return int(self.category.max(initial=-1)) + 1

    @cached_property
    def brand_count(self) -> int:
        return int(self.brand.max(initial=-1)) + 1

    @classmethod
    def of(cls, items: ItemTable) -> ItemMatrix:
        price = items.integers("price_micros") / 1e6
        log_price = np.where(price > 0, np.log(np.maximum(price, 1e-6)), np.nan)
        columns = _fixed_columns(items) | {"item_price": log_price}
        fixed = np.column_stack([columns[name] for name in ITEM_FEATURES]).astype(np.float32)
        return cls(
            np.ascontiguousarray(fixed),
            items.integers("listed_ms"),
            items.integers("last_ms"),
            log_price,
            items.codes("category"),
            items.codes("brand"),
        )


def _fixed_columns(items: ItemTable) -> dict[str, npt.NDArray[np.float64]]:
    count = {name: items.integers(name).astype(np.float64) for name in items.table.column_names if "count" in name}
    shown = np.maximum(count["impression_count_28d"], 1.0)
    logged = {
        "item_events": count["event_count"],
        "item_events_1d": count["event_count_1d"],
        "item_events_7d": count["event_count_7d"],
        "item_events_28d": count["event_count_28d"],
        "item_users": count["user_count"],
        "item_users_28d": count["user_count_28d"],
        "item_purchases_28d": count["purchase_count_28d"],
        "item_new_users_7d": count["new_user_count_7d"],
        "item_new_users_14d": count["new_user_count_14d"],
        "item_new_users_28d": count["new_user_count_28d"],
        "item_popularity": items.integers("popularity_micros") / 1e6,
    }
    users = np.maximum(count["user_count"], 1.0)
    return {name: np.log1p(values) for name, values in logged.items()} | {
        "item_repeat_rate": count["repeat_user_count"] / users,
        "item_events_per_user": count["event_count"] / users,
        "item_trend": 4.0 * count["event_count_7d"] / (count["event_count_28d"] + 4.0),
        "item_news_trend": 2.0 * count["new_user_count_7d"] / (count["new_user_count_14d"] + 2.0),
        # Of the people of the last four weeks those who had not chosen it before: what is bought once, what again.
        "item_new_share": count["new_user_count_28d"] / (count["user_count_28d"] + 1.0),
        "item_click_rate": np.where(count["impression_count_28d"] > 0, count["view_count_28d"] / shown, np.nan),
        "item_cart_rate": count["cart_count_28d"] / np.maximum(count["view_count_28d"], 1.0),
        "item_skip_rate": np.where(count["impression_count_28d"] > 0, count["skip_count_28d"] / shown, np.nan),
    }
