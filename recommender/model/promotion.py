"""The gate: whether the evidence is enough to put a challenger in the champion's place. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from recommender.model.evaluation import CHALLENGER, CHAMPION, Evidence
from recommender.model.holdout import KPI_METRICS

__all__ = ["GateConfig", "Verdict", "gate", "judged_metric"]


@dataclass(frozen=True)
class GateConfig:
    """`metric` of `kind` lists decides; "" takes the one of the declared KPI, or `fallback`, which counts every
    positive event, where fewer than `min_users` have a value of it (a shop of ratings sells nothing).

    Against the champion the lower bound of the paired difference may lie below 0 by `margin` × the champion's mean;
    no slice's upper bound (of `slice_metric`) may lie that far below.
    """

    kind: str = "repeat"
    metric: str = ""
    fallback: str = "ndcg@20"
    slice_metric: str = "ndcg@10"
    min_users: int = 50
    margin: float = 0.05


@dataclass(frozen=True)
class Verdict:
    """`reasons`: why not, one sentence each; where promoted, what speaks for it. `figures` are those compared."""

    promote: bool
    reasons: tuple[str, ...]
    figures: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def gate(evidence: Evidence, config: GateConfig | None = None) -> Verdict:
    """Promote only on proof: better than popularity, not worse than the champion, on enough users.

    What cannot be told from the data is a refusal ("Not enough evidence"), never a pass.
    """
    config = config or GateConfig()
    metric = judged_metric(evidence, config)
    refusals = tuple(_refusals(evidence, metric, config))
    figures = {
        f"{system} {config.kind} {metric}": kinds[config.kind][metric].mean
        for system, kinds in evidence.figures.items()
    }
    return Verdict(not refusals, refusals or tuple(_grounds(evidence, metric, config)), figures)


def judged_metric(evidence: Evidence, config: GateConfig) -> str:
    """The metric that decides."""
    wanted = config.metric or KPI_METRICS[evidence.objective["kpi"]]
    return wanted if evidence.counts[config.kind].get(wanted, 0) >= config.min_users else config.fallback


def _refusals(evidence: Evidence, metric: str, config: GateConfig) -> Iterator[str]:
    if not evidence.is_finite:
        yield "Some scores on the holdout are not finite numbers."
    users = evidence.counts[config.kind][metric]
    if users < config.min_users:
        yield (
            f"Not enough evidence: {users} users came back in the {evidence.horizon_days:g} days after the holdout "
            f"cut, {config.min_users} are needed."
        )
        return
    over = evidence.differences["popularity"][config.kind][metric]
    if not over.low > 0:
        judged = "Worse than" if over.high < 0 else "Not enough evidence that it is better than"
        yield f"{judged} popularity: {config.kind} {metric} differs by {over}; the lower bound must be above 0."
    yield from _champion_refusals(evidence, metric, config)


def _champion_refusals(evidence: Evidence, metric: str, config: GateConfig) -> Iterator[str]:
    if evidence.champion_state == "overlapping":
        yield f"Not enough evidence against the champion: {evidence.champion}"
    if evidence.contest is None:
        return  # no champion yet, or one that this code cannot serve any more: popularity is the bar
    over = evidence.contest.differences[config.kind][metric]
    allowed = config.margin * evidence.contest.champion[config.kind][metric]
    if not over.low >= -allowed:
        judged = "Worse than" if over.high < 0 else "Not enough evidence that it is no worse than"
        yield (
            f"{judged} the champion: {_pooled(evidence, metric, config)}; the lower bound may not be below "
            f"{-allowed:.4f}. {evidence.champion}"
        )
    for found in evidence.slices:
        lead = found.differences.get(CHAMPION, {}).get(config.slice_metric)
        if found.kind != config.kind or lead is None:
            continue
        floor = -config.margin * found.figures[CHAMPION][config.slice_metric].mean
        if lead.high < floor:
            yield (
                f"Worse than the champion for {found.dimension} {found.name}: {config.kind} {config.slice_metric} "
                f"differs by {lead} on {found.users} users; the upper bound must not be below {floor:.4f}."
            )


def _pooled(evidence: Evidence, metric: str, config: GateConfig) -> str:
    assert evidence.contest is not None
    found = evidence.contest
    weeks = f"{len(found.cuts_ms)} past cuts" if len(found.cuts_ms) > 1 else "one past cut"
    lists = found.person_weeks[config.kind][metric]
    return f"{config.kind} {metric} differs by {found.differences[config.kind][metric]} on {lists} lists at {weeks}"


def _grounds(evidence: Evidence, metric: str, config: GateConfig) -> Iterator[str]:
    ours = evidence.figures[CHALLENGER][config.kind][metric]
    users, days = evidence.counts[config.kind][metric], evidence.horizon_days
    yield f"{config.kind} {metric} {ours} on {users} users in {days:g} days not trained on."
    wanted = config.metric or KPI_METRICS[evidence.objective["kpi"]]
    if metric != wanted:
        held = evidence.counts[config.kind].get(wanted, 0)
        yield f"Judged by every positive event: {held} users have a value of {wanted}, {config.min_users} are needed."
    for system, kinds in evidence.differences.items():
        if system != CHAMPION:
            yield f"Against {system}: {kinds[config.kind][metric]}."
    if evidence.contest is not None:
        yield f"Against champion: {_pooled(evidence, metric, config)}."
    yield evidence.champion
