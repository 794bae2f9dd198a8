"""Which agents work daily and where their messages go: what is read, and what is told when it is wrong."""

from __future__ import annotations

import pytest

from recommender.agent_settings import AgentSettings
from recommender.configuration import parse_configuration
from recommender.errors import ConfigurationError


def test_without_a_section_no_agent_works_by_itself_and_nothing_leaves_the_house() -> None:
    assert parse_configuration(b"").agents == AgentSettings((), "", "plain")


def test_names_and_the_webhook_are_read() -> None:
    text = b"agents: {daily: [comeback, spring, comeback], webhook: 'https://relay.example/in', shape: braze"
    told = parse_configuration(text + b", learn_every_minutes: 5}")
    assert told.agents == AgentSettings(("comeback", "spring"), "https://relay.example/in", "braze", 5.0)
    assert told.as_json()["agents"]["webhook"] == "https://relay.example/in"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("agents: {dayly: [a]}", "line 1, key agents.dayly: the unknown key 'dayly'"),
        ("agents:\n  daily: comeback", "line 2, key agents.daily: 'comeback'"),
        ("agents: {webhook: relay.example}", "key agents.webhook: 'relay.example'"),
        ("agents: {shape: brase}", "Did you mean braze?"),
        ("agents:\n  learn_every_minutes: often", "line 2, key agents.learn_every_minutes: 'often'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text.encode())
    assert told in str(caught.value)
