"""A real log: which type of campaign a household got, and whether it redeemed a coupon of it (`complete_journey`).

The mailings were not drawn by chance and nobody logged propensities: they are counted here, by age of the household,
which is a model and not the truth. So this proves that real columns are read, and that no personal choice is made up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.decision.logged.bandit_log import read_bandit_log
from recommender.decision.off_policy.evaluation import evaluate
from recommender.decision.policies.fitting import fit_policy
from recommender.errors import InputError

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def mailed(shared_data: Path) -> pd.DataFrame:
    folder = shared_data / "complete_journey"
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("campaigns", "demographics")}
    types = pd.read_parquet(folder / "campaign_descriptions.parquet")[["campaign_id", "campaign_type"]]
    redeemed = pd.read_parquet(folder / "coupon_redemptions.parquet")[["campaign_id", "household_id"]].drop_duplicates()
    log = tables["campaigns"].merge(types, on="campaign_id").merge(tables["demographics"], on="household_id")
    log = log.merge(redeemed.assign(reward=1.0), on=["campaign_id", "household_id"], how="left")
    log["reward"] = log["reward"].fillna(0.0)
    log["action"] = log.pop("campaign_type")
    log["user_id"] = log.pop("household_id")
    return log.drop(columns=["campaign_id"]).reset_index(drop=True)


def test_without_propensities_nothing_is_guessed(mailed: pd.DataFrame, tmp_path: Path) -> None:
    mailed.to_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match="It cannot be guessed afterwards"):
        read_bandit_log(tmp_path / "log.parquet")


def test_the_policy_is_not_below_the_best_type_on_other_households(mailed: pd.DataFrame, tmp_path: Path) -> None:
    share = mailed.groupby(["age", "action"])["reward"].transform("size") / mailed.groupby("age")["reward"].transform(
        "size"
    )
    log = mailed.assign(propensity=share)
    half = np.random.default_rng(3).random(int(mailed["user_id"].astype(int).max()) + 1) < 0.5
    first = half[log["user_id"].astype(int)]
    parts = []
    for name, rows in (("learnt", first), ("judged", ~first)):
        log[rows].reset_index(drop=True).to_parquet(tmp_path / f"{name}.parquet")
        parts.append(read_bandit_log(tmp_path / f"{name}.parquet"))
    learnt, judged = parts
    assert {"income", "household_size", "kids_count"} <= set(learnt.columns.features)
    own = fit_policy(learnt, seed=1)
    # Of the pairs of campaign and household 16.6 % redeem for type A, 6.5 % and 5.9 % for B and C.
    assert own.facts["best_action"] == "Type A"
    probabilities, _ = own.probabilities(judged.contexts)
    found = evaluate(judged, probabilities)
    assert found.best_fixed == "Type A"
    assert found.gain is not None
    assert found.gain.high >= 0
