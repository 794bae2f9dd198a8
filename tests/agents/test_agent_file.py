"""An agent's file: what it says is what holds, and what is wrong is told with file, line and key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recommender.agents.agent import Cap, Variant, Window
from recommender.agents.agent_file import parse_agent, read_agent_files
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


SEVERAL = WHOLE.replace(
    "policy: thompson",
    """\
policies:
  lints: 0.5
  curious:
    share: 0.3
    policy: lints
    exploration: 0.4
  quiet: {share: 0.2, policy: fixed, suppressed_share: 0.5}
learns_from: own""",
)


def test_several_policies_differ_from_the_agent_in_what_they_say() -> None:
    agent = parse_agent(SEVERAL.encode(), "reactivation.yml")
    assert agent.variants == (
        Variant("lints", 0.5, "lints", 0.15, 0.2),
        Variant("curious", 0.3, "lints", 0.4, 0.2),
        Variant("quiet", 0.2, "fixed", 0.15, 0.5),
    )
    assert agent.learns_from_own
    quiet = agent.taking(agent.variants[2])
    assert (quiet.policy, quiet.exploration, quiet.variants) == ("fixed", 0.15, ())
    assert quiet.frequency == replace(agent.frequency, suppressed_share=0.5)


@pytest.mark.parametrize(
    ("line", "written", "told"),
    [
        (34, "share: 0.2", "share: 0.3"),  # together 1.1
        (35, "lints: 0.5", "lints: half"),
        (35, "lints: 0.5", "lins: 0.5"),
        (36, "    policy: lints\n", ""),  # curious is no kind
        (38, "policy: lints", "policy: lin"),
        (39, "exploration: 0.4", "exploration: 4"),
        (40, "fixed, suppressed_share", "fixed, supressed_share"),
        (41, "learns_from: own", "policy: lints"),
        (41, "learns_from: own", "learns_from: others"),
    ],
)
def test_what_is_wrong_with_several_policies_is_told_with_its_line(line: int, written: str, told: str) -> None:
    assert written in SEVERAL
    with pytest.raises(ConfigurationError, match=rf"reactivation.yml, line {line}\b.*Expected: .*What to do: "):
        parse_agent(SEVERAL.replace(written, told).encode(), "reactivation.yml")


def test_whose_decisions_to_learn_from_is_a_question_of_several_policies() -> None:
    with pytest.raises(ConfigurationError, match="line 35, key learns_from: learns_from without policies"):
        parse_agent((WHOLE + "learns_from: all\n").encode(), "reactivation.yml")


def test_a_folder_holds_one_agent_of_each_name(tmp_path: Path) -> None:
    assert read_agent_files(tmp_path / "nowhere") == {}
    (tmp_path / "reactivation.yml").write_text(WHOLE)
    assert list(read_agent_files(tmp_path)) == ["reactivation"]
    (tmp_path / "other.yml").write_text(WHOLE + "name: reactivation\n")
    with pytest.raises(ConfigurationError, match="second agent reactivation"):
        read_agent_files(tmp_path)
