"""Agents on simulated mailings of known truth: one mailing by chance, learnt from, and what the next one would truly
earn from other people, beside the mail that is best for all. A table, a JSON.

The code is that of operation (`decide_for`, `learn`). An agent's regression shrinks differences between people instead
of asking for a proof of them; this shows what they cost where there are none.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from benchmarks.decisioning.mail_log import ARMS, OUTCOMES, MailLog, simulate_mail_log
from benchmarks.decisioning.mailings import HETEROGENEITY
from recommender.agents.agent import Action, Agent, Frequency, Goal
from recommender.agents.audience import Audience
from recommender.agents.deciding import Run, decide_for
from recommender.agents.learning import learn
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.decision.policies.protocol import one_hot
from recommender.events import DAY_MS

__all__ = ["agent_mailings", "next_mailing"]

Floats = npt.NDArray[np.float64]

SENT_MS = 1_780_272_000_000  # Monday 2026-06-01, 00:00 UTC
FEATURES = ("recency", "history", "mens", "womens", "zip_code", "newbie", "channel", "history_segment")
MAILS = tuple(arm for arm in ARMS if arm != "none")
GOALS = {
    "visit": Goal({"visit": 1.0}),
    "conversion": Goal({"purchase": 1.0}),
    "spend": Goal({"purchase": 1.0}, value="revenue"),
}
AGENT = Agent(
    "mailing",
    Goal({"visit": 1.0}),
    tuple(Action(arm, "email") for arm in MAILS),
    frequency=Frequency(()),
    exploration=0.1,
    policy="lints",
)
WAYS = ("held_best", "served", "best_mail", "oracle")


def next_mailing(heterogeneity: str, outcome: str, seed: int, n: int = 64_000) -> dict[str, float]:
    """True value a customer on the half that was not written to: by the mail that the agent holds best for each, by its
    probabilities within the budget of exploration, by the mail best for all, and by the best for each."""
    mail, agent = simulate_mail_log(n, heterogeneity, seed), replace(AGENT, goal=GOALS[outcome])
    halves = np.random.default_rng(seed).permutation(n)
    first, second = np.sort(halves[: n // 2]), np.sort(halves[n // 2 :])
    audience, nobody = _people(mail, first), SEND_SCHEMA.empty_table()
    by_chance = replace(agent, policy="uniform", exploration=1.0)
    records = decide_for(by_chance, audience, Sends.of(nobody, audience), Run(SENT_MS))
    model = learn(agent, records, _answers(mail, records, seed), SENT_MS + 30 * DAY_MS)
    others = _people(mail, second)
    decided = decide_for(agent, others, Sends.of(nobody, others), Run(SENT_MS + 30 * DAY_MS), model)
    written = decided.filter(pc.equal(decided["arm"], "agent"))
    truth = mail.truth[outcome][_rows(written)][:, [ARMS.index(arm) for arm in MAILS]]
    chances = _chances(written)
    return {
        "held_best": float((truth * one_hot(chances.argmax(axis=1), len(MAILS))).sum(axis=1).mean()),
        "served": float((truth * chances).sum(axis=1).mean()),
        "best_mail": float(truth.mean(axis=0).max()),
        "oracle": float(truth.max(axis=1).mean()),
        "evidence": float(model.facts["messages"].get("evidence", np.nan)),
    }


def _people(mail: MailLog, rows: npt.NDArray[np.int64]) -> Audience:
    ids = pa.array([f"c{row:06}" for row in rows])
    table = mail.table.select(FEATURES).take(pa.array(rows))
    return Audience.read(
        table.append_column("user_id", ids).append_column("consent_email", pa.array([True] * len(rows)))
    )


def _rows(records: pa.Table) -> npt.NDArray[np.int64]:
    return pc.utf8_slice_codeunits(records["user_id"], 1).cast(pa.int64()).to_numpy()


def _answers(mail: MailLog, records: pa.Table, seed: int) -> pa.Table:
    """Who visited, who bought and for how much, a day after; nobody buys without a visit."""
    rows, rng = _rows(records), np.random.default_rng([seed, 8])
    arm = pc.fill_null(pc.index_in(records["action"], value_set=pa.array(ARMS)), ARMS.index("none")).to_numpy()
    visit, conversion, spend = (mail.truth[name][rows, arm] for name in OUTCOMES)
    luck = rng.random(len(rows))
    amount = spend / conversion * rng.lognormal(-0.405, 0.9, len(rows))  # mean 1
    parts = [("visit", luck < visit), ("purchase", luck < conversion)]
    ids = pa.array(records["user_id"].combine_chunks())
    users = pa.concat_arrays([ids.filter(pa.array(came)) for _, came in parts])
    prices = np.concatenate([np.where(kind == "purchase", amount[came], 0.0) for kind, came in parts])
    return pa.table(
        {
            "user_id": users,
            "event_type": np.repeat([kind for kind, _ in parts], [int(came.sum()) for _, came in parts]),
            "occurred_at": pa.array(np.full(len(users), SENT_MS + DAY_MS)).cast(pa.timestamp("ms")),
            "quantity": np.ones(len(users), dtype=np.int64),
            "price_micros": np.round(prices * 1e6).astype(np.int64),
        }
    )


def _chances(records: pa.Table) -> Floats:
    """float64 (n, mails): what was offered to each."""
    found = np.zeros((len(records), len(MAILS)))
    offered = records["offered_actions"].combine_chunks()
    row = np.repeat(np.arange(len(records)), offered.value_lengths().to_numpy())
    place = pc.index_in(offered.flatten(), value_set=pa.array(MAILS)).to_numpy()
    found[row, place] = records["offered_propensities"].combine_chunks().flatten().to_numpy()
    return found


def agent_mailings(halves: int, workers: int, out: Path | None) -> None:
    """Every outcome and strength of heterogeneity over so many halves."""
    table = Table("differs", "outcome", *WAYS, "held best − best mail", "evidence", title="true value a customer")
    report = {}
    with ProcessPoolExecutor(workers) as pool:
        for heterogeneity in HETEROGENEITY:
            for outcome in OUTCOMES:
                cases = list(pool.map(next_mailing, [heterogeneity] * halves, [outcome] * halves, range(halves)))
                means = {name: float(np.mean([case[name] for case in cases])) for name in (*WAYS, "evidence")}
                gap = np.array([case["held_best"] - case["best_mail"] for case in cases])
                error = float(gap.std(ddof=1) / np.sqrt(halves))
                report[f"{heterogeneity} {outcome}"] = {**means, "gap": gap.tolist(), "gap_error": error}
                told = f"{gap.mean():+.4f} ± {1.96 * error:.4f}, least {gap.min():+.4f}"
                figures = [f"{means[name]:.4f}" for name in WAYS]
                table.add_row(heterogeneity, outcome, *figures, told, f"{means['evidence']:.3g}")
    Console(width=150).print(table)
    if out:
        out.write_text(json.dumps({"halves": halves, "agents": report}, indent=1))
