"""The real data sets as purchases, and the cuts at which each is judged. No list is made or judged here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["DATASETS", "Dataset", "Purchases"]

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Purchases:
    """One row for each line of a basket, in the order of time: codes into `user_ids` and `item_ids`; a basket's own."""

    user_ids: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    user: Codes
    item: Codes
    basket: Codes
    at: npt.NDArray[np.datetime64]

    @classmethod
    def of(cls, lines: pd.DataFrame) -> Purchases:
        """From columns user, item, basket (texts) and at."""
        ordered = lines.sort_values(["at", "basket", "item"], kind="stable")
        user, user_ids = pd.factorize(ordered["user"], sort=True)
        item, item_ids = pd.factorize(ordered["item"], sort=True)
        basket, _ = pd.factorize(ordered["basket"])
        at = ordered["at"].to_numpy("datetime64[us]")
        names = (np.asarray(user_ids, dtype=object), np.asarray(item_ids, dtype=object))
        return cls(*names, user.astype(np.int64), item.astype(np.int64), basket.astype(np.int64), at)


@dataclass(frozen=True)
class Dataset:
    """A source of the platform, how its purchases are read for the peers, and its protocol.

    `tuning_cut`: peers choose their parameters on the horizon after it, which ends where the first test begins.
    """

    source: str
    read: Callable[[Path], Purchases]
    cuts: tuple[str, ...]
    horizon_days: int

    @property
    def tuning_cut(self) -> str:
        first = np.datetime64(self.cuts[0], "D")
        return str(first - np.timedelta64(self.horizon_days, "D"))


def _read_online_retail(folder: Path) -> Purchases:
    """Product codes of five digits, quantity and price above 0, known customer: 396,337 lines."""
    raw = pd.read_parquet(folder / "online_retail.parquet")
    kept = raw[raw.StockCode.str.match(r"^\d{5}") & (raw.Quantity > 0) & (raw.UnitPrice > 0) & raw.CustomerID.notna()]
    user = kept.CustomerID.astype("int64").astype(str)
    names = {"user": user, "item": kept.StockCode, "basket": kept.InvoiceNo, "at": kept.InvoiceDate}
    return Purchases.of(pd.DataFrame(names))


def _read_products(folder: Path) -> Purchases:
    """Every line, by product."""
    lines = pd.read_parquet(folder / "transactions_sample.parquet")
    names = {"user": lines.household_id, "item": lines.product_id, "basket": lines.basket_id}
    return Purchases.of(pd.DataFrame({**names, "at": lines.transaction_timestamp}))


def _read_categories(folder: Path) -> Purchases:
    """The same lines by product category; the few products without one are left out."""
    products = pd.read_parquet(folder / "products.parquet", columns=["product_id", "product_category"])
    category = products.set_index("product_id")["product_category"]
    lines = pd.read_parquet(folder / "transactions_sample.parquet")
    lines = lines.assign(item=lines.product_id.map(category)).dropna(subset=["item"])
    names = {"user": lines.household_id, "item": lines.item, "basket": lines.basket_id}
    return Purchases.of(pd.DataFrame({**names, "at": lines.transaction_timestamp}))


_WEEKS = ("2011-11-11", "2011-11-18", "2011-11-25", "2011-12-02")
_DECEMBER = ("2017-12-01",)
DATASETS: dict[str, Dataset] = {
    "online_retail": Dataset("online_retail", _read_online_retail, _WEEKS, 7),
    "complete_journey": Dataset("complete_journey", _read_products, _DECEMBER, 31),
    "complete_journey_categories": Dataset("complete_journey_categories", _read_categories, _DECEMBER, 31),
}
