"""What the gate's rule against the champion lets through: equal challengers, and worse ones. A table and a JSON.

    python -m benchmarks.gate_power --home NEXTBEST_HOME [--draws 4000] [--out FILE.json]

Two rankers of the recipe that differ as two trainings do (a week of slates, another seed) make the lists of the last
four past cuts of a workspace that `nextbest run` has filled. Their differences, person by person and centred, are the
noise; a true loss is a share of the champion's own value. Then a shop of the same size is drawn again and again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from orchestration.past import cut_inputs, ended_cuts, events_since
from orchestration.resources import Ring
from orchestration.tables import read_horizon_ms
from recommender.events import DAY_MS
from recommender.model.holdout import read_holdout
from recommender.model.holdout_lists import holdout_lists
from recommender.model.promotion import GateConfig
from recommender.model.ranker import RankerConfig, fit_ranker
from recommender.model.training_set import TrainingSet
from recommender.retrieval.retriever import fit_retriever
from recommender.workspace import Workspace

LOSSES = (0.0, 0.025, 0.05, 0.1)
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """How many of the last cuts count, and how many standard errors below the mean the bound lies."""

    words: str
    metric: str
    cuts: int
    errors: float


RULES = (
    Rule("one cut, 95 %, ten places", "ndcg@10", 1, 1.96),
    Rule("four cuts, 90 %, ten places", "ndcg@10", 4, 1.645),
    Rule("four cuts, 90 %, twenty places (the gate)", "ndcg@20", 4, 1.645),
)


@dataclass(frozen=True)
class Lists:
    """One row a person and cut: whose, at which cut (0 the latest), the champion's value, the centred difference."""

    owner: npt.NDArray[np.int64]
    cut: npt.NDArray[np.int64]
    champion: dict[str, Values]
    noise: dict[str, Values]


def measure(ring: Ring, rounds: int) -> Lists:
    """Values of both rankers at the last four past cuts."""
    cuts = ended_cuts(ring.workspace)
    training, events = TrainingSet.load(ring.workspace.training), events_since(ring.workspace, cuts[-4])
    config = RankerConfig(rounds=rounds)
    rankers = {
        "challenger": fit_ranker(training.until(cuts[-4]), config, ring.seed),
        "champion": fit_ranker(training.until(cuts[-5]), config, ring.seed + 1),
    }
    people: list[str] = []
    place: list[npt.NDArray[np.int64]] = []
    champion: dict[str, list[Values]] = {rule.metric: [] for rule in RULES}
    noise: dict[str, list[Values]] = {rule.metric: [] for rule in RULES}
    for age, moment in enumerate(reversed(cuts[-4:])):
        cut = cut_inputs(ring, moment)
        holdout = read_holdout(cut, events, read_horizon_ms(ring.workspace) / DAY_MS)
        found = holdout_lists(holdout, fit_retriever(cut, seed=ring.seed), rankers, "repeat").systems
        ours, theirs = (holdout.measure(found[name], "repeat") for name in rankers)
        people += holdout.batch.users.user_ids
        place.append(np.full(len(holdout), age))
        for metric, values in champion.items():
            gap = ours[metric] - theirs[metric]
            values.append(theirs[metric])
            noise[metric].append(gap - gap.mean())
    owner = np.unique(people, return_inverse=True)[1].astype(np.int64)
    joined = [{metric: np.concatenate(own) for metric, own in side.items()} for side in (champion, noise)]
    return Lists(owner, np.concatenate(place), joined[0], joined[1])


def promoted(lists: Lists, rule: Rule, loss: float, margin: float, draws: int, seed: int) -> float:
    """Share of `draws` shops in which a challenger that is worse by `loss` of the champion's value passes."""
    kept, n_people = lists.cut < rule.cuts, int(lists.owner.max()) + 1
    owner, champion = lists.owner[kept], lists.champion[rule.metric][kept]
    gap = lists.noise[rule.metric][kept] - loss * champion
    sums = np.column_stack(
        [np.bincount(owner, weights=w, minlength=n_people) for w in (gap, champion, champion * 0 + 1)]
    )
    rng, passed = np.random.default_rng(seed), 0
    for _ in range(draws):
        drawn = sums[rng.integers(0, n_people, n_people)]
        difference, mean, count = drawn.sum(axis=0)
        error = np.sqrt(((drawn[:, 0] - difference / count * drawn[:, 2]) ** 2).sum()) / count
        passed += difference / count - rule.errors * error >= -margin * mean / count
    return passed / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", required=True, help="a workspace after `nextbest run`")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--draws", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    ring = Ring(home=str(Workspace(Path(options.home).absolute()).root), seed=options.seed)
    lists, margin = measure(ring, options.rounds), GateConfig().margin
    table = Table("rule", *(f"true loss {loss:.1%}" for loss in LOSSES), title=f"promoted, {len(lists.owner):,} lists")
    report = {}
    for rule in RULES:
        shares = [promoted(lists, rule, loss, margin, options.draws, options.seed) for loss in LOSSES]
        table.add_row(rule.words, *(f"{share:.1%}" for share in shares))
        report[rule.words] = dict(zip(map(str, LOSSES), shares, strict=True))
    Console().print(table)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
