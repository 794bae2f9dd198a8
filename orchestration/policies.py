"""The files around policies of logged bandit data: logs and contexts in, policies, probabilities and verdicts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recommender.decision.logged.bandit_log import read_bandit_log, read_table
from recommender.decision.logged.probabilities import probability_table, read_probabilities
from recommender.decision.off_policy.estimators import EstimatorConfig
from recommender.decision.off_policy.evaluation import EvaluationConfig, evaluate
from recommender.decision.off_policy.intervals import IntervalConfig
from recommender.decision.policies.fitting import PolicyConfig, fit_policy
from recommender.decision.policies.folder import demand_replaceable, load_policy, save_policy
from recommender.errors import InputError
from recommender.report.policy_page import policy_page
from recommender.workspace import write_bytes_atomically

__all__ = ["evaluate_probabilities", "fit_to_log", "write_probabilities"]

Tell = Callable[[str], None]


def fit_to_log(
    log_path: Path,
    out: Path,
    reward: str,
    features: tuple[str, ...] | None,
    propensity: str | None,
    config: PolicyConfig,
    seed: int,
    tell: Tell,
) -> dict[str, Any]:
    """Fit a policy, write its folder, and say what was found."""
    demand_replaceable(out)  # before minutes of work, not after
    log = read_bandit_log(log_path, reward, features, propensity)
    tell(f"{len(log):,} rows, {len(log.actions)} actions, features {', '.join(log.columns.features) or '(none)'}")
    for name, reason in log.columns.left_out.items():
        tell(f"left out: {name}, {reason}")
    for name, reason in log.columns.doubts.items():
        tell(f"warning: {name} was asked for, but {reason}; a policy needs what is known before it acts")
    found = fit_policy(log, config, seed, lambda what, done, total: tell(f"{what} {done}/{total}"))
    with _writing(out):
        version = save_policy(found, out)
    return {
        "policy": str(out),
        "version": version,
        "kind": found.policy.kind,
        "actions": list(found.actions),
        **found.facts,
    }


def write_probabilities(policy: Path, contexts: Path, out: Path, tell: Tell) -> int:
    """Write (row, action, probability) for every row of contexts; returns how many rows of contexts there were."""
    loaded, table = load_policy(policy), read_table(contexts, "table of contexts")
    probabilities, said = loaded.probabilities(table)
    for sentence in said:
        tell(sentence)
    written = probability_table(probabilities, loaded.actions, loaded.action_type)
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.with_name(f".{out.name}.part")
        try:
            pq.write_table(written, aside)
            aside.replace(out)
        finally:
            aside.unlink(missing_ok=True)
    return int(table.num_rows)


def evaluate_probabilities(
    log_path: Path,
    probabilities: Path,
    reward: str,
    features: tuple[str, ...] | None,
    propensity: str | None,
    estimator: EstimatorConfig,
    interval: IntervalConfig,
    seed: int,
    page: Path | None,
) -> dict[str, Any]:
    """Judge probabilities on a log; the report is `Evaluation.as_json`, drawn as a page where one is asked for."""
    log = read_bandit_log(log_path, reward, features, propensity)
    matrix, actions = read_probabilities(probabilities, len(log), log.actions)
    config = EvaluationConfig(estimator=estimator, interval=interval)
    report = {"reward": reward, **evaluate(replace(log, actions=actions), matrix, config, seed).as_json()}
    if page is not None:
        with _writing(page):
            page.parent.mkdir(parents=True, exist_ok=True)
            write_bytes_atomically(page, policy_page(report).encode())
    return report


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system says against writing there, in a sentence."""
    try:
        yield
    except OSError as problem:
        raise InputError(
            f"{path}, which cannot be written ({problem.strerror or problem}).",
            "a path that is free, in a folder that may be written to.",
            "Name another one.",
        ) from problem
