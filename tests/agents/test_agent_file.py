"""An agent's file: what it says is what holds, and what is wrong is told with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from recommender.agents.agent import Cap, Window
from recommender.agents.agent_file import parse_agent, read_agents
from recommender.errors import ConfigurationError

WHOLE = """\
audience: select * from users
goal:
  outcomes: {purchase: 1, unsubscribe: -5}
  value: revenue
  window_days: 3
actions:
  - name: spring_mail
    channel: email
    template: spring
    variables: {headline: New colours}
    placement: email
    slots: 3
    cost: 0.002
    when: {country: [DE, AT]}
  - {name: voucher, channel: push, offer_cost: 5, inventory: 100}
timing:
  windows:
    - {at: "09:00-12:00", weekdays: [mon, tue]}
    - {at: "17:30-20:00"}
  quiet: "21:00-08:00"
  fallback_zone: Europe/Berlin
frequency:
  caps:
    - {limit: 1, per: day}
    - {limit: 2, per: week, channel: email}
    - {limit: 1, per: month, action: voucher}
  cool_down_hours: 36
  suppressed_share: 0.2
eligibility:
  where: {not: {segment: staff}}
  without_consent: [web]
shares: {holdout: 0.1, baseline: 0.1, baseline_action: spring_mail}
exploration: 0.15
policy: thompson
"""


def test_a_whole_file_is_read() -> None:
    agent = parse_agent(WHOLE.encode(), "reactivation.yml")
    assert (agent.name, agent.salt, agent.channels) == ("reactivation", "reactivation", ("email", "push"))
    assert agent.goal.outcomes == {"purchase": 1.0, "unsubscribe": -5.0}
    assert agent.timing.windows == (
        Window(9 * 60, 12 * 60, frozenset({0, 1})),
        Window(17 * 60 + 30, 20 * 60),
    )
    assert agent.frequency.caps == (Cap(1, "day"), Cap(2, "week", "email"), Cap(1, "month", None, "voucher"))
    assert agent.shares.named() == {"holdout": 0.1, "baseline": 0.1, "agent": pytest.approx(1 - 0.1 - 0.1)}
    assert agent.actions[0].when.words == "country DE or AT"


@pytest.mark.parametrize(
    ("line", "written", "told"),
    [
        (8, "channel: email", "channel: E-Mail"),
        (12, "    slots: 3\n", "    slots: many\n"),
        (15, "offer_cost: 5", "offer_costs: 5"),
        (15, "name: voucher", "name: spring_mail"),
        (18, '"09:00-12:00"', '"09:00-22:00"'),
        (18, "[mon, tue]", "[mon, tues]"),
        (19, '"17:30-20:00"', '"17:30"'),
        (21, "Europe/Berlin", "Berlin"),
        (25, "channel: email}", "channel: sms}"),
        (26, "per: month", "per: year"),
        (32, "holdout: 0.1", "holdout: 0.95"),
        (33, "exploration: 0.15", "exploration: 15"),
        (34, "policy: thompson", "policy: thomson"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(line: int, written: str, told: str) -> None:
    assert written in WHOLE
    with pytest.raises(ConfigurationError, match=rf"reactivation.yml, line {line}\b.*Expected: .*What to do: "):
        parse_agent(WHOLE.replace(written, told).encode(), "reactivation.yml")


def test_a_folder_holds_one_agent_of_each_name(tmp_path: Path) -> None:
    assert read_agents(tmp_path / "nowhere") == {}
    (tmp_path / "reactivation.yml").write_text(WHOLE)
    assert list(read_agents(tmp_path)) == ["reactivation"]
    (tmp_path / "other.yml").write_text(WHOLE + "name: reactivation\n")
    with pytest.raises(ConfigurationError, match="second agent reactivation"):
        read_agents(tmp_path)
