"""Policies of single actions: exact probabilities, choices as often as they say, folders that cannot lie, and a
personal choice only where it is proven."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bandit_logs import log_of, world
from scipy.stats import chi2, norm

from benchmarks.decisioning.mailings import compare
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.policies.fitting import KINDS, TREES, PolicyConfig, fit_policy
from recommender.decision.policies.folder import PolicyFolder, load_policy, save_policy
from recommender.decision.policies.linear import LinearBandit, LinearState
from recommender.decision.policies.proof import ProofConfig
from recommender.decision.policies.protocol import choose, draw
from recommender.decision.policies.pseudo_outcomes import best_action, steady_rewards
from recommender.decision.policies.uplift import Deviation, best_margin
from recommender.decision.policies.vowpal import EXPLORATIONS, VowpalLearner
from recommender.errors import InputError, IntegrityError

QUICK = ProofConfig(repeats=1)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> BanditLog:
    return log_of(tmp_path_factory.mktemp("log"), world(3_000))


@pytest.fixture(scope="module")
def fitted(log: BanditLog) -> dict[str, PolicyFolder]:
    return {kind: fit_policy(log, PolicyConfig(kind, proof=QUICK), seed=3) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_distributions_and_a_row_alone_gets_the_same(
    fitted: dict[str, PolicyFolder], log: BanditLog, kind: str
) -> None:
    whole, _ = fitted[kind].probabilities(log.contexts)
    assert whole.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert (whole >= 0).all()
    for row in (0, 17):
        alone, _ = fitted[kind].probabilities(log.contexts.slice(row, 1))
        assert alone[0].tobytes() == whole[row].tobytes()
    assert fitted[kind].probabilities(log.contexts.slice(0, 0))[0].shape == (0, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_the_same_policy_back(
    fitted: dict[str, PolicyFolder], log: BanditLog, kind: str, tmp_path: Path
) -> None:
    version = save_policy(fitted[kind], tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    rows = log.contexts.slice(0, 300)
    assert loaded.probabilities(rows)[0].tobytes() == fitted[kind].probabilities(rows)[0].tobytes()
    assert (loaded.actions, loaded.facts["reward"]) == (log.actions, "reward")
    assert save_policy(loaded, tmp_path / "again") == version
    assert not [path for path in (tmp_path / "policy").iterdir() if path.suffix not in {".json", ".ubj", ".vw"}]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["personal", "thompson", "lints", "vowpal"])
def test_the_same_log_and_seed_give_the_same_bytes(log: BanditLog, kind: str, tmp_path: Path) -> None:
    config = PolicyConfig(kind, proof=QUICK)
    versions = {save_policy(fit_policy(log, config, seed=5), tmp_path / str(again)) for again in range(2)}
    assert len(versions) == 1


def test_a_changed_byte_is_found_before_anything_is_loaded(fitted: dict[str, PolicyFolder], tmp_path: Path) -> None:
    save_policy(fitted["thompson"], tmp_path / "policy")
    victim = tmp_path / "policy" / "reward_0.ubj"
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=r"other bytes than were written in reward_0\.ubj"):
        load_policy(tmp_path / "policy")
    victim.unlink()
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_policy(tmp_path / "policy")


@pytest.mark.parametrize("kind", KINDS)
def test_choices_are_as_frequent_as_their_propensities(
    fitted: dict[str, PolicyFolder], log: BanditLog, kind: str
) -> None:
    """100,000 draws for 50 contexts, χ² over all of them; the propensity of each draw is the probability itself."""
    exact, _ = fitted[kind].probabilities(log.contexts.slice(0, 50))
    context = np.repeat(np.arange(50), 2_000)
    place, propensity = draw(exact[context], np.arange(100_000, dtype=np.uint64))
    assert propensity.tolist() == exact[context, place].tolist()
    counts = np.bincount(3 * context + place, minlength=150).reshape(50, 3)
    possible, expected = exact > 0, 2_000 * exact
    assert not counts[~possible].any()
    statistic = float((((counts - expected) ** 2)[possible] / expected[possible]).sum())
    freedom = int(possible.sum()) - 50
    assert freedom == 0 or chi2.sf(statistic, freedom) > 1e-3


def test_one_choice_a_context_follows_its_own_seed(fitted: dict[str, PolicyFolder], log: BanditLog) -> None:
    own = fitted["softmax"]
    matrix, _ = own.encoder.transform(log.contexts)
    seeds = np.arange(len(log), dtype=np.uint64) * np.uint64(7919)
    action, propensity = choose(own.policy, matrix, seeds)
    alone, chance = choose(own.policy, matrix[5:6], seeds[5:6])
    assert (alone[0], chance[0]) == (action[5], propensity[5])
    expected = own.policy.probabilities(matrix)
    assert propensity.tolist() == expected[np.arange(len(log)), action].tolist()


def test_linear_thompson_states_the_probability_of_being_best() -> None:
    """Two actions, normal: P(a > b) = Φ((m_a − m_b) / √(s_a² + s_b²))."""
    rng = np.random.default_rng(8)
    contexts = rng.normal(size=(400, 2)).astype(np.float32)
    action = rng.integers(0, 2, 400)
    state = LinearState.fit(contexts, action, rng.normal(size=400) + 0.2 * action, 2)
    bandit = LinearBandit("lints", state, floor=0.0)
    mean, error = state.moments(contexts[:50])
    exact = norm.cdf((mean[:, 1] - mean[:, 0]) / np.hypot(error[:, 0], error[:, 1]))
    assert bandit.probabilities(contexts[:50])[:, 1] == pytest.approx(exact, abs=2e-3)


def test_vowpal_wabbit_learns_from_pairs_of_features_where_it_is_given_them() -> None:
    """The right action of two is told by two signs together, and by neither alone."""
    rng = np.random.default_rng(11)
    contexts = rng.choice([-1.0, 1.0], (3_000, 2)).astype(np.float32)
    right, action = (contexts.prod(axis=1) > 0).astype(np.int64), rng.integers(0, 2, 3_000)
    found = {}
    for paired in (False, True):
        learner = VowpalLearner.of(contexts, np.array([0.0, 1.0]), 2, "greedy", 0, paired)
        learner.learn(contexts, action, (action == right).astype(np.float64), np.full(3_000, 0.5))
        chances = learner.policy().probabilities(contexts[:200])
        found[paired] = float(chances[np.arange(200), right[:200]].mean())
    assert found[True] > 0.95
    assert found[False] < 0.8


@pytest.mark.parametrize("exploration", EXPLORATIONS)
def test_every_exploration_of_vowpal_wabbit_gives_distributions(log: BanditLog, exploration: str) -> None:
    own = fit_policy(log.take(np.arange(300)), PolicyConfig("vowpal", exploration=exploration))
    chances, _ = own.probabilities(log.contexts.slice(0, 50))
    assert chances.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert (chances >= 0).all()


def test_a_personal_choice_is_made_where_it_is_proven(log: BanditLog, fitted: dict[str, PolicyFolder]) -> None:
    own = fitted["personal"]
    found, _ = own.probabilities(log.contexts)
    blue = log.contexts["colour"].to_numpy(zero_copy_only=False) == "blue"
    assert own.facts["proof"]["personal"]
    assert own.facts["sentence"].startswith("Personal: ")
    assert found[blue][:, log.actions.index("cups")].mean() > 0.95
    assert found[~blue][:, log.actions.index("tea")].mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_without_proof_it_is_the_best_single_action_and_says_so(tmp_path: Path, seed: int) -> None:
    log = log_of(tmp_path, world(3_000, 100 + seed, gain=0.0))
    own = fit_policy(log, PolicyConfig(proof=QUICK), seed=seed)
    assert own.policy.kind == "fixed"
    assert own.facts["best_action"] == "tea"
    assert own.facts["sentence"].startswith("tea for everybody, the best single action")
    found, _ = own.probabilities(log.contexts)
    assert found[:, log.actions.index("tea")].tolist() == [1.0] * len(log)


def test_a_log_without_features_gives_the_best_single_action(tmp_path: Path) -> None:
    log = log_of(tmp_path, world(3_000).drop_columns(["age", "colour"]))
    own = fit_policy(log)
    assert own.facts["sentence"].startswith("The log has no features: ")
    for kind in KINDS:
        if kind in TREES:
            with pytest.raises(InputError, match=f"without a feature for the kind {kind}"):
                fit_policy(log, PolicyConfig(kind))
        else:
            chances, _ = fit_policy(log, PolicyConfig(kind)).probabilities(log.contexts)
            assert (chances == chances[0]).all()


def test_sizes_of_rare_rewards_are_shared_unless_they_differ() -> None:
    rng = np.random.default_rng(9)
    action = rng.integers(0, 2, 40_000)
    came = rng.random(40_000) < 0.02
    alike = np.where(came, rng.gamma(2.0, 50.0, 40_000), 0.0)
    steady = steady_rewards(alike, action, 2)
    assert np.unique(steady[came]).size <= 2
    assert steady[came].mean() == pytest.approx(alike[came].mean(), rel=0.02)
    assert steady.std() < 0.9 * alike.std()
    apart = np.where(action == 1, 10.0 * alike, alike)
    means = [steady_rewards(apart, action, 2)[came & (action == place)].mean() for place in range(2)]
    assert means[1] / means[0] == pytest.approx(10.0, rel=0.2)
    frequent = rng.random(1_000)
    assert steady_rewards(frequent, action[:1_000], 2) is frequent


def test_a_lucky_action_of_a_few_rows_is_not_the_best() -> None:
    """Outcomes as doubly robust ones are: where an action was hardly taken they are few and huge."""
    rng = np.random.default_rng(10)
    outcomes = rng.normal([1.0, 0.8, 0.9, 0.5], 1.0, size=(5_000, 4))
    lucky = np.zeros(5_000)
    lucky[:3] = 2_000.0  # mean 1.2, standard error .7
    assert best_action(np.column_stack([outcomes, lucky]), np.array([1_250] * 4 + [3])) == 0
    assert best_action(outcomes, np.array([0, 100, 100, 100])) == 2


def test_the_margin_is_where_the_sum_of_gains_is_greatest() -> None:
    deviation = Deviation(np.zeros(5, dtype=np.int64), np.array([0.5, 0.4, 0.3, 0.2, -0.1]))
    difference = np.array([1.0, 2.0, -1.0, 0.5, 9.0])
    # Sums from the top: 1, 3, 2, 2.5; the last is predicted to lose and is not asked.
    assert best_margin(deviation, difference, 0.0) == (0.4, 3.0)
    assert best_margin(deviation, -np.ones(5), 0.0) == (float("inf"), 0.0)


@pytest.mark.slow
def test_on_mailings_it_is_never_below_the_arm_it_would_send_to_all() -> None:
    """Short form of `python -m benchmarks.decisioning mailings`, a quarter of its size, judged by the truth."""
    alike = compare("none", "spend", 1, n=16_000)
    assert alike["fitted"] == pytest.approx(alike["chosen_arm"])
    assert alike["greedy"] < alike["best_arm"]
    apart = compare("strong", "visit", 1, n=16_000)
    possible = apart["oracle"] - apart["best_arm"]
    assert apart["fitted"] - apart["best_arm"] > 0.8 * possible
