"""What works for whom: groups found on half of the people, and judged on the other half. No group is made here.

The tree looks for the greatest differences, so on the people it saw they are flattered. On the others nothing of them
was looked at: not the groups, not the models of rewards. So their intervals are those of groups named beforehand
(Athey and Imbens 2016, honest trees).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recommender.agents.insights.estimates import Estimate, difference, holm_pvalues, mean_of
from recommender.agents.insights.evidence import Evidence, Outcomes
from recommender.agents.insights.groups import Group, TreeConfig, find_groups
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.pseudo_outcomes import best_action

__all__ = ["what_works"]

FIND, JUDGE = 0, 1
ALPHA = 0.05
LEAST_PEOPLE = 200  # in each half

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def what_works(evidence: Evidence, config: TreeConfig | None = None) -> list[dict[str, Any]]:
    """For "a message over none" and "the best message over the others": groups of people, what each option earns them,
    and what is proven.

    Two kinds of proof, each by Holm over all groups of both questions: `is_proven` of an effect, and `differs` of a
    group from everybody else. Without the latter a group is only what happened to look most different.
    """
    config = config or TreeConfig()
    people = int(evidence.owner.max(initial=-1)) + 1
    half = fold_of(people, 2, evidence.seed)[evidence.owner] if people else np.zeros(0, np.int64)
    found = [part for part in (_message(evidence, half, config), _actions(evidence, half, config)) if part is not None]
    _prove([group for part in found for group in part["groups"]])
    return found


def _message(evidence: Evidence, half: Ints, config: TreeConfig) -> dict[str, Any] | None:
    zeros, ones = np.zeros(len(evidence), np.int64), np.ones(len(evidence))
    find, judge = (evidence.versus_nothing(["message"], zeros, ones, half == side) for side in (FIND, JUDGE))
    if find is None or judge is None:
        return None
    groups = _groups(evidence, find, find.gain(0), config)
    effects = {"message": (judge.gain(0), np.ones(len(judge.row), dtype=np.bool_))}
    return {
        "question": "message",
        "base": "nothing",
        "best": "message",
        **_judged(evidence, judge, groups, effects, "message"),
    }


def _actions(evidence: Evidence, half: Ints, config: TreeConfig) -> dict[str, Any] | None:
    """Each action over the mean of the others, among people who could get it and one other at least."""
    names = [action.name for action in evidence.agent.actions]
    code, offered = evidence.codes("action", names), evidence.offered > 0
    chance = np.take_along_axis(evidence.offered, np.maximum(code, 0)[:, None], axis=1)[:, 0]
    usable = evidence.is_sent & (code >= 0) & (offered.sum(axis=1) > 1) & (chance > 0)
    rows = [np.flatnonzero(usable & (half == side)) for side in (FIND, JUDGE)]
    find, judge = (evidence.outcomes(names, row, code[row], chance[row]) for row in rows)
    if find is None or judge is None:
        return None
    best = best_action(find.values, np.bincount(code[find.row], minlength=len(names)))
    kept = np.flatnonzero(offered[find.row, best])
    if not len(kept):
        return None
    narrowed = Outcomes(find.row[kept], find.owner[kept], find.values[kept])
    groups = _groups(evidence, narrowed, _over_others(narrowed.values, offered[narrowed.row], best), config)
    effects = {
        name: (_over_others(judge.values, offered[judge.row], place), offered[judge.row, place])
        for place, name in enumerate(names)
        if offered[judge.row, place].any()
    }
    if names[best] not in effects:
        return None
    judged = _judged(evidence, judge, groups, effects, names[best])
    return {"question": "actions", "base": "the other messages", "best": names[best], **judged}


def _over_others(values: Floats, offered: Mask, place: int) -> Floats:
    """float64 (n): an option's reward less the mean of the others that the person could get."""
    others = offered.copy()
    others[:, place] = False
    mean = np.where(others, values, 0.0).sum(axis=1) / np.maximum(others.sum(axis=1), 1)
    return np.asarray(values[:, place] - mean)


def _groups(evidence: Evidence, found: Outcomes, gain: Floats, config: TreeConfig) -> list[Group]:
    if len(np.unique(found.owner)) < LEAST_PEOPLE:
        return [Group()]
    return find_groups(evidence.contexts[found.row], gain, found.owner, config)


def _judged(
    evidence: Evidence, judge: Outcomes, groups: Sequence[Group], effects: dict[str, tuple[Floats, Mask]], best: str
) -> dict[str, Any]:
    """The groups on the people of the other half; `effects`: option → values (n) and whom they stand for."""
    contexts, told = evidence.contexts[judge.row], []
    for group in groups:
        inside = group.holds(contexts)
        own = {
            name: mean_of(value[inside & among], judge.owner[inside & among])
            for name, (value, among) in effects.items()
        }
        value, among = effects[best]
        told.append(
            {
                "words": group.words(evidence.encoder),
                "rules": group.as_json(evidence.encoder),
                "share": float(inside.mean()),
                "people": len(np.unique(judge.owner[inside])),
                "_effects": own,
                "_differs": difference(value[among], inside[among], judge.owner[among]),
            }
        )
    overall = {name: mean_of(value[among], judge.owner[among]).as_json() for name, (value, among) in effects.items()}
    return {"people": len(np.unique(judge.owner)), "overall": overall, "groups": told}


def _prove(groups: list[dict[str, Any]]) -> None:
    """Put proofs in the place of estimates: all effects of the page are one family, all differences another."""
    effects: list[Estimate] = [one for group in groups for one in group["_effects"].values()]
    chances = iter(holm_pvalues(effects))
    differences = holm_pvalues([group["_differs"] for group in groups])
    for group, p_differs in zip(groups, differences, strict=True):
        found = group.pop("_effects")
        group["effects"] = {}
        for name, own in found.items():
            p = next(chances)
            group["effects"][name] = {**own.as_json(), "p_holm": p, "is_proven": p <= ALPHA}
        group["differs"] = {**group.pop("_differs").as_json(), "p_holm": p_differs, "is_proven": p_differs <= ALPHA}
