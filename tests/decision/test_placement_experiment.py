"""Experiments on a placement: what an arm changes, who is in which, and what a file is told when it is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recommender.configuration import parse_configuration
from recommender.decision.placement_experiment import arm_in, placements_of
from recommender.decision.policy import SlatePolicy
from recommender.errors import ConfigurationError
from recommender.experiments.assignment import uniforms

FILE = b"""\
placements:
  home: {diversity: {weight: 0.1}}
experiments:
  bold_home:
    placement: home
    arms:
      control: {share: 0.75}
      bold: {share: 0.25, exploration: {share: 0.3}, diversity: {weight: 0.5}}
    outcomes: {purchase: 1, click: 0.1}
"""
PEOPLE = [f"u{number}" for number in range(2_000)]


def test_an_arm_is_the_operators_placement_with_its_own_changes() -> None:
    configuration = parse_configuration(FILE)
    experiment = configuration.experiments["bold_home"]
    assert experiment.arms["control"] == configuration.placements["home"]
    bold = experiment.arms["bold"]
    assert (bold.policy, bold.diversity.weight) == (SlatePolicy(0.3), 0.5)
    assert bold.default_k == configuration.placements["home"].default_k
    assert dict(experiment.outcomes) == {"purchase": 1.0, "click": 0.1}
    assert json.loads(json.dumps(configuration.as_json()))["experiments"]["bold_home"]["arms"]["bold"]["share"] == 0.25


def test_people_are_divided_by_the_salts_hash_and_records_say_how() -> None:
    configuration = parse_configuration(FILE)
    arms = [configuration.experiments["bold_home"].arm_of(user) for user in PEOPLE]
    assert arms == np.where(uniforms("bold_home", PEOPLE) < 0.75, "control", "bold").tolist()
    for user, arm in zip(PEOPLE[:20], arms, strict=False):
        placements, added = placements_of(configuration.experiments, configuration.placements, "home", user)
        assert placements["home"] == configuration.experiments["bold_home"].arms[arm]
        assert arm_in("challenger" + added, "bold_home") == arm
        assert arm_in("champion" + added, "home") is None
        elsewhere = placements_of(configuration.experiments, configuration.placements, "cart", user)
        assert elsewhere == (configuration.placements, "")


@pytest.mark.parametrize(
    ("wrong", "right", "told"),
    [
        (
            "share: 0.25",
            "share: 0.2",
            "line 6, key experiments.bold_home.arms: 2 arm(s) with shares that sum up to 0.95",
        ),
        ("placement: home", "placement: hone", "line 5, key experiments.bold_home.placement: 'hone'"),
        (
            "exploration:",
            "default_k: 3, exploration:",
            "key experiments.bold_home.arms.bold.default_k: the unknown key",
        ),
        ("{share: 0.75}", "{}", "line 7, key experiments.bold_home.arms.control: {}"),
        ("bold_home:", "Bold:", "the name 'Bold'"),
        ("weight: 0.5", "weight: 5", "key experiments.bold_home.arms.bold.diversity.weight: 5"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(wrong: str, right: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(FILE.decode().replace(wrong, right).encode())
    assert told in str(caught.value)


def test_a_placement_has_one_experiment_at_a_time() -> None:
    arms = "{a: {share: 0.5}, b: {share: 0.5}}"
    with pytest.raises(ConfigurationError, match="a second experiment on home, beside bold_home"):
        parse_configuration(FILE + f"  other: {{placement: home, arms: {arms}}}\n".encode())
