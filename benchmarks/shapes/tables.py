"""A set of canonical tables as a team would land it, and what counts in it as chosen. Nothing is simulated here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.ranking.datasets import Dataset, Purchases

__all__ = ["TableSet"]


@dataclass(frozen=True)
class TableSet:
    """Tables with any columns of the contract, the moment to judge at, and which events are choices.

    `told` says what is peculiar. `is_chosen`, bool (events): positive events, by the meaning of the data and not by the
    platform's reading of them. `day`: the cut, a date. `file_format`: parquet, csv or jsonl.
    """

    told: str
    events: pd.DataFrame
    items: pd.DataFrame | None
    users: pd.DataFrame | None
    is_chosen: npt.NDArray[np.bool_]
    cut: str
    horizon_days: int = 7
    file_format: str = "parquet"

    def land(self, folder: Path) -> None:
        """Write the tables there are."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("events", "items", "users"):
            table: pd.DataFrame | None = getattr(self, name)
            if table is None:
                continue
            file = folder / f"{name}.{self.file_format}"
            if self.file_format == "parquet":
                table.to_parquet(file, index=False)
            elif self.file_format == "csv":
                table.to_csv(file, index=False)
            else:
                table.to_json(file, orient="records", lines=True, date_format="iso", force_ascii=False)

    def choices(self) -> Purchases:
        """The chosen events, a day's choices of a person as one basket."""
        kept = self.events[self.is_chosen & self.events["item_id"].notna()]
        said = kept["occurred_at"]
        is_count = pd.api.types.is_integer_dtype(said)  # of milliseconds
        at = pd.to_datetime(said, utc=True, unit="ms") if is_count else pd.to_datetime(said, utc=True, format="ISO8601")
        at = at.dt.tz_localize(None)
        user = kept["user_id"].astype(str)
        basket = user + " " + at.dt.strftime("%Y-%m-%d")
        return Purchases.of(
            pd.DataFrame({"user": user, "item": kept["item_id"].astype(str), "basket": basket, "at": at})
        )

    def dataset(self) -> Dataset:
        """The same for `benchmarks.ranking`'s protocol."""
        return Dataset("tables", lambda _: self.choices(), (self.cut,), self.horizon_days)
