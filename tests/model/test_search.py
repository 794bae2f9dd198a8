"""The search for ranker parameters: the same twice, the defaults first, and nothing believed within noise."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from recommender.errors import InputError
from recommender.model.ranker import Ranker, RankerConfig
from recommender.model.search import RankerSearch, SearchConfig, search_ranker, slate_ndcg
from recommender.model.training_set import TrainingSet

SMALL = SearchConfig(trials=5, random_trials=3, draws=200)
DEFAULTS = RankerConfig(pointwise_rounds=0, max_rounds=30, patience=5, max_depth=4, min_child_weight=1.0)
# No leaf may be that heavy, so no tree ever splits: every list stays in the order in which it came.
HOPELESS = replace(DEFAULTS, min_child_weight=1e9)


@pytest.fixture(scope="module")
def found(training: TrainingSet) -> RankerSearch:
    return search_ranker(training, SMALL, DEFAULTS, seed=3)


@pytest.mark.slow
def test_the_same_slates_and_seed_give_the_same_search(training: TrainingSet, found: RankerSearch) -> None:
    again = search_ranker(training, SMALL, DEFAULTS, seed=3)
    assert json.dumps(again.as_json()) == json.dumps(found.as_json())
    other = search_ranker(training, SMALL, DEFAULTS, seed=4)
    assert [trial.parameters for trial in other.trials] != [trial.parameters for trial in found.trials]


def test_the_defaults_come_first_and_every_trial_is_written_down(found: RankerSearch) -> None:
    assert len(found.trials) == 5
    first = found.trials[0]
    assert first.parameters == {name: getattr(DEFAULTS, name) for name in first.parameters}
    assert (first.gain.mean, first.gain.low, first.gain.high) == (0, 0, 0)
    for trial in found.trials:
        assert 1 <= trial.rounds <= DEFAULTS.max_rounds
        assert trial.score.low <= trial.score.mean <= trial.score.high
        assert trial.gain.mean == pytest.approx(trial.score.mean - first.score.mean)
    assert found.best == int(np.argmax([trial.score.mean for trial in found.trials]))


def test_what_is_kept_agrees_with_the_confirming_cut(found: RankerSearch) -> None:
    assert found.is_accepted == (found.best > 0 and found.confirmed.low > 0)
    assert found.parameters == found.trials[found.best if found.is_accepted else 0].parameters
    assert ("the defaults stay" in found.sentence) != found.is_accepted


@pytest.mark.filterwarnings("ignore:Fixed parameter")  # the search says that the defaults lie outside its space
def test_defaults_that_cannot_be_good_are_replaced(training: TrainingSet) -> None:
    found = search_ranker(training, replace(SMALL, trials=3), HOPELESS, seed=3)
    assert found.best > 0
    assert found.is_accepted
    assert found.confirmed.low > 0
    assert found.parameters == found.trials[found.best].parameters
    assert "kept for later trainings" in found.sentence


@pytest.mark.slow
def test_differences_between_labels_of_chance_are_never_believed(training: TrainingSet) -> None:
    """With labels drawn anew nothing can be learnt: whatever wins by luck must not win again on the next cut."""
    accepted = []
    for seed in range(4):
        order = np.lexsort((np.random.default_rng(seed).random(len(training)), training.group))
        shuffled = replace(training, label=training.label[order])
        accepted.append(search_ranker(shuffled, SMALL, DEFAULTS, seed).is_accepted)
    assert sum(accepted) <= 1  # each has a chance of 1 in 40


def test_without_three_cuts_there_is_nothing_to_confirm_with(training: TrainingSet) -> None:
    late = training.take_groups(training.at_ms > training.at_ms.min())
    with pytest.raises(InputError, match="2 past cuts before the holdout"):
        search_ranker(late, SMALL, DEFAULTS)


def test_a_slates_ndcg_is_that_of_its_graded_list(training: TrainingSet) -> None:
    class Knows(Ranker):
        def predict(self, features: np.typing.NDArray[np.float32]) -> np.typing.NDArray[np.float32]:
            return features[:, 0]

    row = training.take_groups(np.arange(len(training.groups)) == 0)
    label = np.zeros(len(row), dtype=np.float32)
    label[:3] = (3, 0, 1)
    features = np.tile(-np.arange(len(row), dtype=np.float32)[:, None], (1, len(row.names)))  # shown in row order
    slate = replace(row, label=label, features=features)
    discount = 1 / np.log2(np.arange(2, 5))
    expected = (7 * discount[0] + 1 * discount[2]) / (7 * discount[0] + 1 * discount[1])
    knows = Knows(None, row.names, 1)  # type: ignore[arg-type]
    assert slate_ndcg(knows, slate, 10) == pytest.approx([expected])
