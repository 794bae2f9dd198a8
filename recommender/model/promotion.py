"""The gate: whether the evidence is enough to put a challenger in the champion's place. Nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from recommender.model.evaluation import CHALLENGER, CHAMPION, Evidence

__all__ = ["GateConfig", "Verdict", "gate"]


@dataclass(frozen=True)
class GateConfig:
    """`metric` of `kind` lists decides; at least `min_users` must have come back; against the champion the
    lower bound of the paired difference may lie below 0 by `margin` × the champion's mean."""

    kind: str = "repeat"
    metric: str = "ndcg@10"
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
    refusals = tuple(_refusals(evidence, config))
    figures = {
        f"{system} {config.kind} {config.metric}": kinds[config.kind][config.metric].mean
        for system, kinds in evidence.figures.items()
    }
    return Verdict(not refusals, refusals or tuple(_grounds(evidence, config)), figures)


def _refusals(evidence: Evidence, config: GateConfig) -> Iterator[str]:
    if not evidence.is_finite:
        yield "Some scores on the holdout are not finite numbers."
    users = evidence.users[config.kind]
    if users < config.min_users:
        yield (
            f"Not enough evidence: {users} users came back in the {evidence.horizon_days:g} days after the holdout "
            f"cut, {config.min_users} are needed."
        )
        return
    over = evidence.differences["popularity"][config.kind][config.metric]
    if not over.low > 0:
        judged = "Worse than" if over.high < 0 else "Not enough evidence that it is better than"
        yield f"{judged} popularity: {config.kind} {config.metric} differs by {over}; the lower bound must be above 0."
    yield from _champion_refusals(evidence, config)


def _champion_refusals(evidence: Evidence, config: GateConfig) -> Iterator[str]:
    if evidence.champion_state == "overlapping":
        yield f"Not enough evidence against the champion: {evidence.champion}"
    if evidence.champion_state != "compared":
        return  # no champion yet, or one that this code cannot serve any more: popularity is the bar
    over = evidence.differences[CHAMPION][config.kind][config.metric]
    allowed = config.margin * evidence.figures[CHAMPION][config.kind][config.metric].mean
    if not over.low >= -allowed:
        judged = "Worse than" if over.high < 0 else "Not enough evidence that it is no worse than"
        yield (
            f"{judged} the champion: {config.kind} {config.metric} differs by {over}; the lower bound may "
            f"not be below {-allowed:.4f}. {evidence.champion}"
        )


def _grounds(evidence: Evidence, config: GateConfig) -> Iterator[str]:
    ours = evidence.figures[CHALLENGER][config.kind][config.metric]
    users = evidence.users[config.kind]
    yield f"{config.kind} {config.metric} {ours} on {users} users in {evidence.horizon_days:g} days not trained on."
    for system, kinds in evidence.differences.items():
        yield f"Against {system}: {kinds[config.kind][config.metric]}."
    yield evidence.champion
