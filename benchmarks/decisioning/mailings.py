"""Fitted policies beside the best single action on simulated mailings of known truth. A table, a JSON.

Ten random halves of a mailing of 64,000: fit on one half, apply to the other, and read there from the truth what the
policy earns a customer, beside the arm that is truly best for all, beside greedy models of each arm (what is usually
done), and beside the best that any policy could. `nextbest policy evaluate` judges it there as well, without the truth:
how often it finds the policy below the best arm beyond noise.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.decisioning.mail_log import ARMS, OUTCOMES, simulate_mail_log
from recommender.decision.logged.bandit_log import BanditLog, read_bandit_log
from recommender.decision.off_policy.evaluation import evaluate
from recommender.decision.policies.fitting import PolicyConfig, fit_policy

__all__ = ["HETEROGENEITY", "compare", "mailings"]

HETEROGENEITY = ("none", "little", "strong")
SHARES = ("is_personal", "below")
SYSTEMS = ("fitted", "greedy", "chosen_arm", "best_arm", "oracle")


def compare(heterogeneity: str, outcome: str, seed: int, n: int = 64_000) -> dict[str, float]:
    """True value a customer of each system on the half that was not learnt from, and whether the policy is personal."""
    mail = simulate_mail_log(n, heterogeneity, seed)
    halves = np.random.default_rng(seed).permutation(n)
    learnt, judged = np.sort(halves[: n // 2]), np.sort(halves[n // 2 :])
    log, unseen = (_log_of(mail.table.take(half), outcome) for half in (learnt, judged))
    truth, contexts, rows = mail.truth[outcome][judged], mail.table.take(judged), {}
    for name, kind in (("fitted", "personal"), ("greedy", "epsilon_greedy")):
        found = fit_policy(log, PolicyConfig(kind, floor=0.0), seed)
        probabilities, _ = found.probabilities(contexts)
        rows[name] = float((truth * probabilities).sum(axis=1).mean())
        if kind == "personal":
            rows["is_personal"] = float(found.policy.kind == "personal")
            told = evaluate(unseen, probabilities, seed=seed)
            rows["below"] = float(told.gain is not None and told.gain.high < 0)
            rows["chosen_arm"] = float(truth[:, ARMS.index(found.facts["best_action"])].mean())
    return rows | {"best_arm": float(truth.mean(axis=0).max()), "oracle": float(truth.max(axis=1).mean())}


def _log_of(table: pa.Table, outcome: str) -> BanditLog:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        pq.write_table(table, path)
        return read_bandit_log(path, outcome)


def mailings(halves: int, workers: int, out: Path | None) -> None:
    """Every outcome and strength of heterogeneity over so many halves."""
    report, table = (
        {},
        Table("differs", "outcome", *SYSTEMS, "fitted − best arm", "personal", "below", title="true value a customer"),
    )
    with ProcessPoolExecutor(workers) as pool:
        for heterogeneity in HETEROGENEITY:
            for outcome in OUTCOMES:
                cases = list(pool.map(compare, [heterogeneity] * halves, [outcome] * halves, range(halves)))
                means = {
                    name: float(np.mean([case[name] for case in cases])) for name in (*SYSTEMS, "is_personal", "below")
                }
                gap = np.array([case["fitted"] - case["best_arm"] for case in cases])
                error = float(gap.std(ddof=1) / np.sqrt(halves))
                report[f"{heterogeneity} {outcome}"] = {**means, "gap": gap.tolist(), "gap_error": error}
                figures = [f"{means[name]:.4f}" for name in SYSTEMS]
                told = f"{gap.mean():+.4f} ± {1.96 * error:.4f}, least {gap.min():+.4f}"
                table.add_row(
                    heterogeneity, outcome, *figures, told, f"{means['is_personal']:.0%}", f"{means['below']:.0%}"
                )
    Console(width=150).print(table)
    if out:
        out.write_text(json.dumps({"halves": halves, "mailings": report}, indent=1))
