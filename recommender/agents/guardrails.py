"""What must not be sent: consent, eligibility, deeds that stop it, caps, cool-down. Nothing is preferred here.

Guardrails are judged at the moment of sending, not of deciding, and count what was sent before it as well as what is
scheduled after it. So a decision that comes late, early or twice cannot break one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.agents.agent import CAP_DAYS, Agent, Cap
from recommender.agents.audience import Audience
from recommender.agents.deeds import last_deeds, stop_hours, watched
from recommender.agents.moments import NEVER, local_days
from recommender.agents.sends import Sends
from recommender.events import DAY_MS

__all__ = ["Verdict", "judge"]

HOUR_MS = 3_600_000

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """`allowed` bool (n, actions, windows). `blocked`: guardrail → mask (n) of the people for whom it left nothing of
    what the guardrails before it had left.
    """

    allowed: Mask
    blocked: dict[str, Mask]

    def also(self, name: str, passes: Mask) -> Verdict:
        """With one more guardrail behind the others; `passes` is broadcast to (n, actions, windows)."""
        allowed = self.allowed & passes
        lost = np.asarray(self.allowed.any(axis=(1, 2)) & ~allowed.any(axis=(1, 2)))
        return Verdict(allowed, {**self.blocked, name: lost})

    def reasons(self) -> list[str]:
        """For each person the guardrail that left nothing, "" where something is left."""
        told = np.full(len(self.allowed), "", dtype=object)
        for name, people in self.blocked.items():
            told[people] = name
        return [str(reason) for reason in told]


def judge(agent: Agent, audience: Audience, sends: Sends, moments: Ints) -> Verdict:
    """Apply every guardrail to each person's moments, int64 (n, windows), NEVER where a window offers none.

    Inventory is not judged here: it depends on who else is written to (`choosing`).
    """
    verdict = Verdict(np.ones((len(audience), len(agent.actions), moments.shape[1]), dtype=bool), {})
    for name, passes in _guardrails(agent, audience, sends, moments):
        verdict = verdict.also(name, passes)
    return verdict


def _guardrails(agent: Agent, audience: Audience, sends: Sends, moments: Ints) -> Iterator[tuple[str, Mask]]:
    """Name and mask, each broadcast to (n, actions, windows)."""
    rows = np.arange(len(audience))
    consents = {
        channel: np.ones(len(audience), bool)
        if channel in agent.eligibility.without_consent
        else audience.consents(channel)
        for channel in agent.channels
    }
    yield "eligibility", agent.eligibility.where.holds(audience, rows)[:, None, None]
    yield "consent", np.stack([consents[action.channel] for action in agent.actions], axis=1)[:, :, None]
    yield "action", np.stack([action.when.holds(audience, rows) for action in agent.actions], axis=1)[:, :, None]
    yield "timing", (moments != NEVER)[:, None, :]
    for event_type in watched(agent):
        wait_ms = np.round(stop_hours(agent, event_type) * HOUR_MS).astype(np.int64)
        since_ms = moments - last_deeds(audience, event_type)[:, None]
        yield f"after {event_type}", (since_ms[:, None, :] >= wait_ms[None, :, None]) | (wait_ms == 0)[None, :, None]
    if agent.frequency.cool_down_hours > 0:
        within_ms = round(agent.frequency.cool_down_hours * HOUR_MS)
        yield "cool-down", (_near(sends, moments, within_ms) == 0)[:, None, :]
    for cap in agent.frequency.caps:
        yield f"cap {cap.name}", _below(agent, cap, audience, sends, moments)


def _below(agent: Agent, cap: Cap, audience: Audience, sends: Sends, moments: Ints) -> Mask:
    """Whether one more message keeps to a cap, for the actions that it concerns."""
    part = sends.only(agent.name, cap.action, cap.channel)
    if cap.per == "day":
        codes, zones = audience.zones(agent.timing.fallback_zone)
        days = local_days(np.where(moments == NEVER, 0, moments), codes, zones)
        counts = _same_day(part, local_days(part.at_ms, codes[part.person], zones), days)
    else:
        # Both ways: a message before one that is already scheduled counts for the days that follow as well.
        counts = _near(part, moments, CAP_DAYS[cap.per] * DAY_MS)
    concerned = [
        cap.channel in (None, action.channel) and cap.action in (None, action.name) for action in agent.actions
    ]
    return np.asarray((counts < cap.limit)[:, None, :] | ~np.array(concerned)[None, :, None])


def _near(sends: Sends, moments: Ints, within_ms: int) -> Ints:
    """int64 (n, windows): each person's messages less than so long before or after a moment."""
    counts = np.zeros(moments.shape, dtype=np.int64)
    for window in range(moments.shape[1]):
        near = np.abs(moments[sends.person, window] - sends.at_ms) < within_ms
        counts[:, window] = np.bincount(sends.person[near], minlength=len(moments))
    return counts


def _same_day(sends: Sends, sent_days: Ints, days: Ints) -> Ints:
    """int64 (n, windows): each person's messages on the same local day as a moment."""
    counts = np.zeros(days.shape, dtype=np.int64)
    for window in range(days.shape[1]):
        same = days[sends.person, window] == sent_days
        counts[:, window] = np.bincount(sends.person[same], minlength=len(days))
    return counts
