"""An agent's closed decisions as numbers: rewards, features and doubly robust outcomes. Nothing is concluded here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.agents.agent import NOTHING, Agent
from recommender.agents.attribution import closed, rewards_of, sending_log
from recommender.agents.context import from_json, varying
from recommender.decision.logged.bandit_log import BanditLog
from recommender.decision.logged.columns import ColumnChoice
from recommender.decision.logged.contexts import ContextEncoder
from recommender.decision.logged.reward_model import fold_of
from recommender.decision.policies.pseudo_outcomes import pseudo_outcomes
from recommender.experiments.assignment import uniforms

__all__ = ["Evidence", "Outcomes"]

MOST_ROWS = 300_000  # decisions that are looked at; of more, those of people drawn by hash
FOLDS = 3
RAREST = 0.01  # a chance below one in a hundred would let single people decide

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Outcomes:
    """Doubly robust rewards, float64 (n, options), of the rows `row` int64 (n) of the evidence, whose people are
    `owner` int64 (n); the last option is saying nothing where `versus_nothing` made them."""

    row: Ints
    owner: Ints
    values: Floats

    def gain(self, option: int, base: int = -1) -> Floats:
        """float64 (n): what an option earns more than another one, by default the last."""
        return np.asarray(self.values[:, option] - self.values[:, base])


@dataclass(frozen=True)
class Evidence:
    """Decisions whose window has closed, by time, with what each earned; `share` of the people they are of."""

    agent: Agent
    records: pa.Table
    rewards: Floats
    owner: Ints
    share: float
    seed: int

    @classmethod
    def of(cls, agent: Agent, records: pa.Table, events: pa.Table, now_ms: int, seed: int = 0) -> Evidence:
        """`records` in AGENT_DECISION_SCHEMA, `events` as in `rewards_of`."""
        records = closed(records, agent.goal, now_ms)
        share = min(1.0, MOST_ROWS / max(len(records), 1))
        if share < 1.0:
            people = pc.unique(records["user_id"])
            drawn = uniforms("insights", people.to_pylist()) < share
            records = records.filter(pc.is_in(records["user_id"], value_set=people.filter(pa.array(drawn))))
        encoded = records["user_id"].combine_chunks().dictionary_encode()
        owner = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return cls(agent, records, rewards_of(agent, records, events), owner, share, seed)

    def codes(self, column: str, names: Sequence[str]) -> Ints:
        """int64 (n): the place of each row's text among the names, −1 for any other."""
        found = pc.index_in(self.records[column], value_set=pa.array(list(names), pa.string()))
        return np.asarray(pc.fill_null(found, -1).to_numpy(), dtype=np.int64)

    def __len__(self) -> int:
        return len(self.owner)

    @property
    def decided_ms(self) -> Ints:
        return np.asarray(self.records["decided_at"].cast(pa.int64()).to_numpy(), dtype=np.int64)

    @cached_property
    def in_play(self) -> Ints:
        """Rows of the agent's people and of the holdout whom the guardrails left something."""
        arms = pc.is_in(self.records["arm"], value_set=pa.array(["agent", "holdout"]))
        return np.flatnonzero(pc.and_(arms, pc.is_valid(self.records["send_share"])).to_numpy())

    @cached_property
    def is_sent(self) -> Mask:
        """bool (n): rows of the agent's own people who were written to."""
        sent = pc.and_(pc.equal(self.records["arm"], "agent"), pc.not_equal(self.records["action"], NOTHING))
        return np.asarray(sent.to_numpy(), dtype=bool)

    @cached_property
    def offered(self) -> Floats:
        """float64 (n, actions): the chance of each action once something is sent; 0 where it was not to be had."""
        lists = self.records["offered_actions"].combine_chunks()
        names = pa.array([action.name for action in self.agent.actions], pa.string())
        place = pc.fill_null(pc.index_in(lists.flatten(), value_set=names), -1).to_numpy()
        row = pc.list_parent_indices(lists).to_numpy()
        chances = self.records["offered_propensities"].combine_chunks().flatten().to_numpy()
        found = np.zeros((len(self), len(names)))
        found[row[place >= 0], place[place >= 0]] = chances[place >= 0]
        return found

    @cached_property
    def encoder(self) -> ContextEncoder:
        return ContextEncoder.fit(self._features)

    @cached_property
    def contexts(self) -> Matrix:
        """float32 (n, width): what the policy could read of each row's person; `encoder` names the columns."""
        return self.encoder.transform(self._features)[0]

    @cached_property
    def sending(self) -> BanditLog | None:
        """Nothing (0) or a message (1), of the rows in play; None where one of both never happened."""
        return sending_log(self.records, self.rewards)

    @cached_property
    def message(self) -> Outcomes | None:
        """A message (0) beside none (1), of all rows in play."""
        return self.versus_nothing(["message"], np.zeros(len(self), np.int64), np.ones(len(self)))

    def versus_nothing(
        self, names: Sequence[str], code: Ints, chance: Floats, rows: Mask | None = None, reward: Floats | None = None
    ) -> Outcomes | None:
        """Each kind of message beside saying nothing, as one experiment of agent and holdout.

        `code` int64 (n): which kind was sent, −1 for another; `chance` float64 (n): its probability once something is
        sent. `rows` bool (n) narrows to some of the decisions, `reward` (n) asks about another outcome than the goal's.
        None where nothing, or nothing but one option, is left.
        """
        if self.sending is None:
            return None
        play, sent = self.in_play, self.sending.action == 1
        action = np.where(sent, code[play], len(names))
        propensity = self.sending.propensity * np.where(sent, chance[play], 1.0)
        kept = np.flatnonzero((action >= 0) & (propensity > 0) & (True if rows is None else rows[play]))
        return self.outcomes((*names, NOTHING), play[kept], action[kept], propensity[kept], reward)

    def outcomes(
        self, names: Sequence[str], row: Ints, action: Ints, propensity: Floats, reward: Floats | None = None
    ) -> Outcomes | None:
        """Doubly robust rewards of every option for these rows; models are fitted on other people than they judge."""
        if len(np.unique(action)) < 2:
            return None
        reward = self.rewards if reward is None else reward
        _, owner = np.unique(self.owner[row], return_inverse=True)
        choice, nothing_more = ColumnChoice((), {}), pa.table({"": pa.nulls(len(row))}).select([])
        chances = np.maximum(propensity, RAREST)
        log = BanditLog(
            tuple(names), pa.string(), action, reward[row], chances, nothing_more, "value", choice, None, owner
        )
        fold = fold_of(len(row), FOLDS, self.seed, owner)
        return Outcomes(row, self.owner[row], pseudo_outcomes(log, self.contexts[row], fold).plain)

    @cached_property
    def _features(self) -> pa.Table:
        return varying(from_json(self.records["features"]))[1]
