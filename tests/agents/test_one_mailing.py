"""What an agent learns from one mailing by chance: who wants which mail, or that one is best for all.

Short form of `python -m benchmarks.decisioning agents`, a quarter of its size, judged by the truth.
"""

from __future__ import annotations

import pytest

from benchmarks.decisioning.agent_mailings import next_mailing
from recommender.agents.learning import AGAINST

pytestmark = pytest.mark.slow


def test_where_people_are_alike_all_get_the_better_mail() -> None:
    found = next_mailing("none", "visit", 1, n=16_000)
    assert found["evidence"] < AGAINST
    assert found["held_best"] == pytest.approx(found["best_mail"])


def test_where_they_differ_each_gets_nearly_what_is_best_for_them() -> None:
    found = next_mailing("strong", "visit", 1, n=16_000)
    possible = found["oracle"] - found["best_mail"]
    assert found["evidence"] > 0
    assert found["held_best"] - found["best_mail"] > 0.8 * possible
    # A tenth of the probability, at most, is given to the other mail; it is worth some .1 less.
    assert found["held_best"] - 0.1 * 0.15 < found["served"] <= found["held_best"]
