"""How much a message earns from whom: right with differences and without, whatever people earn anyway."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from recommender.agents.gains import GainModel, fit_gains
from recommender.agents.learning import LIKELIER
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.columns import ColumnChoice

Floats = npt.NDArray[np.float64]
N = 8_000


def world(gain: tuple[float, float], warmth: float = 0.0, even: bool = True, seed: int = 5) -> BanditLog:
    """Half of the people are thrifty. A message gains `gain[0]` from the others and `gain[1]` from the thrifty, who
    earn .1 and `warmth` without; it goes to .8 of all, or (not `even`) to .9 of the thrifty and .5 of the others."""
    rng = np.random.default_rng(seed)
    thrifty, age = rng.random(N) < 0.5, rng.normal(40.0, 12.0, N)
    chance = np.full(N, 0.8) if even else np.where(thrifty, 0.9, 0.5)
    sent = rng.random(N) < chance
    mean = 0.1 + warmth * thrifty + np.where(sent, np.where(thrifty, gain[1], gain[0]), 0.0)
    contexts = pa.table({"thrifty": thrifty, "age": age, "town": np.array(["Ulm", "Bonn"])[rng.integers(0, 2, N)]})
    return BanditLog(
        ("nothing", "message"),
        pa.string(),
        sent.astype(np.int64),
        (rng.random(N) < mean).astype(np.float64),
        np.where(sent, chance, 1.0 - chance),
        contexts,
        "reward",
        ColumnChoice(tuple(contexts.column_names), {}),
    )


def by_group(model: GainModel, log: BanditLog) -> tuple[float, float]:
    """Mean gain of the others, and of the thrifty."""
    gains, thrifty = model.gains(log.contexts), log.contexts["thrifty"].to_numpy()
    return float(gains[~thrifty].mean()), float(gains[thrifty].mean())


@pytest.mark.parametrize("even", [True, False], ids=["to all alike", "to the thrifty more often"])
def test_who_gains_more_is_found(even: bool) -> None:
    log = world((0.0, 0.3), even=even)
    model = fit_gains(log)
    others, thrifty = by_group(model, log)
    # Of each half 800 have no message: standard error √(.1 · .9 / 800 + .24 / 3,200) = .014.
    assert others == pytest.approx(0.0, abs=0.05)
    assert thrifty == pytest.approx(0.3, abs=0.05)
    assert model.evidence > LIKELIER


def test_who_earns_more_anyway_is_not_taken_to_gain_more() -> None:
    """The thrifty earn .4 more whether they get a message or not, and get it more often: no more of it is a gain."""
    log = world((0.1, 0.1), warmth=0.4, even=False)
    others, thrifty = by_group(fit_gains(log), log)
    assert (others + thrifty) / 2 == pytest.approx(0.1, abs=0.04)
    assert thrifty - others == pytest.approx(0.0, abs=0.06)


def test_without_differences_all_are_said_to_gain_alike() -> None:
    log = world((0.1, 0.1))
    model = fit_gains(log)
    gains = model.gains(log.contexts)
    assert gains.mean() == pytest.approx(0.1, abs=0.03)
    assert gains.std() < 0.03
    assert model.evidence < LIKELIER


def test_a_message_that_does_nothing_gains_nothing() -> None:
    log = world((0.0, 0.0))
    gains = fit_gains(log).gains(log.contexts)
    assert gains.mean() == pytest.approx(0.0, abs=0.03)


def test_two_columns_together_may_tell_what_people_earn() -> None:
    """Young people in Ulm and old ones in Bonn buy by a message, the others never: neither column alone tells it."""
    log = world((0.0, 0.0))
    rng = np.random.default_rng(6)
    young = log.contexts["age"].to_numpy() < 40
    ulm = np.asarray(log.contexts["town"].to_pylist()) == "Ulm"
    reward = (log.action == 1) & (young == ulm) & (rng.random(N) < 0.6)
    own = BanditLog(
        log.actions, log.action_type, log.action, reward * 1.0, log.propensity, log.contexts, "reward", log.columns
    )
    gains = fit_gains(own).gains(log.contexts)
    assert gains[young == ulm].mean() - gains[young != ulm].mean() > 0.3


def test_a_person_alone_gets_the_bits_of_the_crowd_and_json_gives_them_back() -> None:
    log = world((0.0, 0.3))
    model, again = fit_gains(log), fit_gains(log)
    gains = model.gains(log.contexts)
    assert again.gains(log.contexts).tobytes() == gains.tobytes()
    assert GainModel.from_json(model.as_json()).gains(log.contexts).tobytes() == gains.tobytes()
    for row in (0, 4_321):
        assert model.gains(log.contexts.slice(row, 1)).tobytes() == gains[row : row + 1].tobytes()
