"""From preferences and guardrails to one decision a person, with the exact probability of each factor.

Three factors are drawn here, each given those before it: whether to send (frequency), which action (message and
channel), and when; an action's items are a fourth (`slots`). Their probabilities multiply to that of the whole. What is
preferred comes in as numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.agents.agent import Agent
from recommender.agents.guardrails import Verdict
from recommender.agents.moments import NEVER
from recommender.experiments.assignment import uniforms

__all__ = ["Choices", "Draws", "Preferences", "choose"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

HOLDOUT, BASELINE, AGENT = range(3)  # the order of Shares.named


@dataclass(frozen=True)
class Preferences:
    """What a policy thinks: `actions` float64 (n, actions) and `windows` float64 (n, windows) are its probabilities
    before any guardrail; `send` float64 (n) that of being written to at all; `gains` float64 (n) how much more a
    message is said to earn than none; `exploration` float64 (n) the budget of each person's policy. Each row is told
    from its own person alone, so a person met alone is decided on as among a million.
    """

    actions: Floats
    windows: Floats
    send: Floats
    gains: Floats
    exploration: Floats


@dataclass(frozen=True)
class Draws:
    """Four uniform numbers a person, float64 (n) in [0, 1): the turn for what is scarce, and one for each factor."""

    turn: Floats
    send: Floats
    action: Floats
    window: Floats

    @classmethod
    def of(cls, salt: str, user_ids: Sequence[str]) -> Draws:
        """By hash: a person's draws depend on the salt and the id alone, not on who else is there."""
        return cls(*(uniforms(f"{salt}:{factor}", user_ids) for factor in ("turn", "send", "action", "window")))


@dataclass(frozen=True)
class Choices:
    """One row a person. `action` and `window` int64, −1 for nothing; `send_ms` int64, NEVER for nothing.

    `send_p`, `action_p` and `window_p` float64: the probability of what was drawn for each factor, 1 where nothing was
    left to draw. `send_share` float64: each one's probability of being written to had they been in the agent's arm, NaN
    without a choice. `offered` float64 (n, actions): the action factor's probabilities. `reason`: why nothing is sent.
    """

    action: Ints
    window: Ints
    send_ms: Ints
    send_p: Floats
    action_p: Floats
    window_p: Floats
    send_share: Floats
    offered: Floats
    reason: list[str]

    @property
    def propensity(self) -> Floats:
        """Probability of the whole decision."""
        return self.send_p * self.action_p * self.window_p


def choose(
    agent: Agent,
    verdict: Verdict,
    moments: Ints,
    preferences: Preferences,
    arms: Ints,
    draws: Draws,
    remaining: Mapping[str, int],
) -> Choices:
    """Decide for everybody. `arms` int64 (n): places in `Shares.named`; `remaining`: action → how many may get it.

    Who draws an action when it has run out draws again without it: people are taken in the order of `draws.turn`, and
    each one's probabilities are those of the moment of the turn.
    """
    reason = np.array(verdict.reasons(), dtype=object)
    reason[arms == HOLDOUT] = "holdout"
    sendable = verdict.allowed.any(axis=2) & (arms != HOLDOUT)[:, None]
    sendable &= _own_actions(agent, arms)
    reason[(arms == BASELINE) & (reason == "") & ~sendable.any(axis=1)] = "baseline action not allowed"
    in_stock = np.array([remaining.get(action.name, 1) > 0 for action in agent.actions])
    sendable &= in_stock[None, :]
    own_share = np.where(arms == AGENT, preferences.send, 1.0)  # the usual action goes to everybody of its arm
    is_sent = draws.send < own_share
    offered, action = _draw_actions(agent, preferences, sendable, arms, is_sent, draws, dict(remaining))
    rows = np.flatnonzero(action >= 0)
    window, window_p = np.full(len(arms), -1), np.ones(len(arms))
    window[rows], window_p[rows] = _draw_windows(agent, verdict, preferences, arms, rows, action[rows], draws.window)
    action_p = np.ones(len(arms))
    action_p[rows] = offered[rows, action[rows]]
    had_any = offered.any(axis=1)
    send_p = np.where(is_sent, own_share, 1.0 - own_share)
    has_choice = np.where(arms == AGENT, had_any, (verdict.allowed.any(axis=2) & in_stock).any(axis=1))
    send_share = np.where(has_choice, preferences.send, np.nan)
    reason[had_any & ~is_sent] = "suppressed"
    reason[(reason == "") & ~had_any] = "inventory"
    send_ms = np.full(len(arms), NEVER)
    send_ms[rows] = moments[rows, window[rows]]
    send_p = np.where(had_any, send_p, 1.0)
    return Choices(action, window, send_ms, send_p, action_p, window_p, send_share, offered, list(reason))


def _own_actions(agent: Agent, arms: Ints) -> Mask:
    """bool (n, actions): the baseline arm has one action, the agent all."""
    usual = np.array([action.name == agent.shares.baseline_action for action in agent.actions])
    return np.where((arms == BASELINE)[:, None], usual[None, :], True)


def _draw_actions(
    agent: Agent,
    preferences: Preferences,
    sendable: Mask,
    arms: Ints,
    is_sent: Mask,
    draws: Draws,
    remaining: dict[str, int],
) -> tuple[Floats, Ints]:
    """Each one's probabilities at their turn, and the action drawn (−1: none)."""
    order = np.argsort(draws.turn, kind="stable")
    offered, action = np.zeros(sendable.shape), np.full(len(order), -1, dtype=np.int64)
    sendable, start = sendable.copy(), 0
    while start < len(order):
        people = order[start:]
        offered[people] = _offered(agent, preferences, sendable[people], arms[people], people)
        drawn = np.where(is_sent[people], _drawn(offered[people], draws.action[people]), -1)
        settled, gone = _until_gone(agent, drawn, remaining)
        action[people[:settled]] = drawn[:settled]
        for place, one in enumerate(agent.actions):
            if one.name in remaining:
                remaining[one.name] -= int((drawn[:settled] == place).sum())
        sendable[people[settled:], gone] = False
        start += settled
    return offered, action


def _until_gone(agent: Agent, drawn: Ints, remaining: Mapping[str, int]) -> tuple[int, int]:
    """How many people's draws stand before one finds an action gone, and that action."""
    settled, gone = len(drawn), 0
    for place, one in enumerate(agent.actions):
        takers = np.flatnonzero(drawn == place)
        if one.name in remaining and len(takers) > remaining[one.name] and takers[remaining[one.name]] < settled:
            settled, gone = int(takers[remaining[one.name]]), place
    return settled, gone


def _offered(agent: Agent, preferences: Preferences, sendable: Mask, arms: Ints, people: Ints) -> Floats:
    """The action factor's probabilities: the policy's among what is allowed, within the budget of exploration."""
    kept = np.where(sendable, preferences.actions[people], 0.0)
    # A policy that gives nothing to all that is left is not asked: each of those is as good as another.
    kept = np.where(kept.any(axis=1, keepdims=True), kept, sendable.astype(np.float64))
    own = arms == AGENT
    total = kept.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)
    shares[own] = _within(shares[own], _budget(agent, preferences, people[own], len(agent.actions)))
    return shares


def _draw_windows(
    agent: Agent, verdict: Verdict, preferences: Preferences, arms: Ints, rows: Ints, action: Ints, draw: Floats
) -> tuple[Ints, Floats]:
    open_windows = verdict.allowed[rows, action]
    kept = np.where(open_windows, preferences.windows[rows], 0.0)
    kept = np.where(kept.any(axis=1, keepdims=True), kept, open_windows.astype(np.float64))
    shares: Floats = kept / kept.sum(axis=1, keepdims=True)
    own = arms[rows] == AGENT
    shares[own] = _within(shares[own], _budget(agent, preferences, rows[own], open_windows.shape[1]))
    window = _drawn(shares, draw[rows])
    return window, shares[np.arange(len(rows)), window]


def _budget(agent: Agent, preferences: Preferences, people: Ints, options: int) -> Floats:
    """float64 (people, 1): half of the exploration for each factor that has something to explore."""
    factors = (len(agent.actions) > 1) + (len(agent.timing.windows) > 1)
    return preferences.exploration[people, None] / max(factors, 1) * (options > 1)


def _within(shares: Floats, budget: Floats) -> Floats:
    """The same shares, each row drawn towards its best so far that at most its `budget`, (n, 1), is given to others.

    Row by row and not on average: a mean would make one person's probabilities those of whoever else is there. Equals
    are best together, so what nothing is known of is tried evenly (simulated crowds earned 2 % more by it); without a
    budget the first of them.
    """
    best = (shares == shares.max(axis=1, keepdims=True)) & (shares > 0)
    best &= (budget > 0) | (np.cumsum(best, axis=1) == 1)
    plan = best / np.maximum(best.sum(axis=1, keepdims=True), 1)
    others = (plan - shares).clip(0).sum(axis=1, keepdims=True)
    kept = np.divide(budget, others, out=np.ones_like(others), where=others > budget)
    return np.asarray(np.where(others > budget, plan + (shares - plan) * kept, shares))


def _drawn(shares: Floats, draw: Floats) -> Ints:
    """int64 (n): the option on which each row's uniform number falls; −1 for a row without any."""
    edges = np.cumsum(shares, axis=1)
    place = (edges <= (draw * edges[:, -1])[:, None]).sum(axis=1)
    # Rounding may leave the number at the end of the line: then the last option that has a share.
    last = shares.shape[1] - 1 - (shares[:, ::-1] > 0).argmax(axis=1)
    return np.where(edges[:, -1] > 0, np.minimum(place, last), -1)
