"""The operator's file: what it changes, and what it is told when it is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from recommender.configuration import Configuration, parse_configuration, read_configuration
from recommender.decision.placements import PLACEMENTS, Diversity, Freshness
from recommender.decision.policy import SlatePolicy
from recommender.errors import ConfigurationError
from recommender.workspace import Workspace

FILE = """\
objective: margin
objectives:
  margin: {kpi: revenue, weights: {view: 1}}
placements:
  home:
    default_k: 12
    filter: {not: {category: [toys]}}
    diversity: {max_per_category: 3}
    boosts:
      - when: {brand: acme}
        multiply: 1.5
    pins:
      - {item: i000042, position: 1, from: 2026-11-20, until: 2026-11-30 08:00}
    freshness: {share: 0.2, days: 7}
    exploration: {share: 0.05}
  sale:
    like: home
    generators: [ease, popular]
    freshness: null
  only_als: {generators: [als], rank_by: generator}
"""


def read(text: str) -> Configuration:
    return parse_configuration(text.encode())


def test_without_a_file_the_shipped_placements_hold(tmp_path: Path) -> None:
    assert read_configuration(Workspace(tmp_path).configuration) == Configuration()
    assert read("") == Configuration()
    assert set(Configuration().placements) == set(PLACEMENTS)


def test_a_placement_changes_what_it_names_and_keeps_the_rest() -> None:
    home = read(FILE).placements["home"]
    assert (home.default_k, home.max_k, home.bought, home.objective) == (12, 100, "allowed", "margin")
    assert home.filter.words == "not category toys"
    assert home.diversity == Diversity(0.0, 3, None)
    assert (home.boosts[0].when.words, home.boosts[0].multiply, home.boosts[0].add) == ("brand acme", 1.5, 0.0)
    assert home.freshness == Freshness(0.2, 7.0)
    assert home.policy == SlatePolicy(0.05, PLACEMENTS["home"].policy.pool)


def test_a_pin_begins_and_ends_in_utc() -> None:
    (pin,) = read(FILE).placements["home"].pins
    begins, ends = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 30, 8, tzinfo=UTC)
    assert not pin.is_valid(round(begins.timestamp() * 1000) - 1)
    assert pin.is_valid(round(begins.timestamp() * 1000))
    assert pin.is_valid(round(ends.timestamp() * 1000) - 1)
    assert not pin.is_valid(round(ends.timestamp() * 1000))


def test_a_placement_may_be_like_another_and_null_switches_off() -> None:
    placements = read(FILE).placements
    sale = placements["sale"]
    assert (sale.name, sale.default_k, sale.generators) == ("sale", 12, ("ease", "popular"))
    assert (sale.boosts, sale.freshness) == (placements["home"].boosts, None)
    assert (placements["only_als"].default_k, placements["only_als"].rank_by) == (10, "generator")


def test_an_objective_may_be_declared_and_named() -> None:
    configuration = read(FILE)
    assert (configuration.objective.name, configuration.objective.kpi) == ("margin", "revenue")
    assert configuration.objective.grade_of("view") == 1
    assert {placement.objective for placement in configuration.placements.values()} == {"margin"}
    assert read("objective: {kpi: retention, name: ours}").objective.name == "ours"


def test_a_placement_answered_by_needs_requires_them() -> None:
    advice = read("placements: {advice: {generators: [knowledge], rank_by: generator}}").placements["advice"]
    assert advice.requires == ("needs",)


def test_what_holds_is_told_as_plain_values() -> None:
    told = read(FILE).as_json()
    assert told["objective"] == "margin"
    assert told["placements"]["sale"]["generators"] == ["ease", "popular"]
    assert told["placements"]["home"]["boosts"] == [{"when": "brand acme", "multiply": 1.5, "add": 0.0}]


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("default_k: 12", "defualt_k: 12", r"line 6, key placements.home.defualt_k: .*Did you mean default_k\?"),
        ("default_k: 12", "default_k: 200", "line 6, key placements.home.default_k: default_k 200 above max_k 100"),
        ("default_k: 12", "default_k: yes", "line 6, key placements.home.default_k: True"),
        ("share: 0.2", "share: 2", "line 14, key placements.home.freshness.share: 2. Expected: a number from 0 to 1"),
        ("share: 0.2, days", "days", "line 14, key placements.home.freshness: no share"),
        ("brand: acme", "price: acme", r"line 10, key placements.home.boosts\[0\].when.price"),
        ("category: [toys]", "category: []", "line 7, key placements.home.filter.not.category"),
        ("[ease, popular]", "[eese]", r"line 18, key placements.sale.generators\[0\]: 'eese'.*Did you mean ease\?"),
        ("like: home", "like: hom", r"line 17, key placements.sale.like: 'hom'.*Did you mean home\?"),
        ("kpi: revenue", "kpi: revenu", "line 3, key objectives.margin: .*revenu"),
        ("item: i000042", "item: 42", r"line 13, key placements.home.pins\[0\].item: 42"),
        (
            "position: 1",
            "position: 101",
            r"line 13, key placements.home.pins\[0\]: position 101. Expected: at most max_k",
        ),
        ("from: 2026-11-20", "from: 2026-12-20", "line 13.*a window that ends before it begins"),
        ("from: 2026-11-20", "from: soon", r"line 13, key placements.home.pins\[0\].from: 'soon'"),
        ("rank_by: generator", "rank_by: genrator", r"line 20, key placements.only_als.rank_by"),
        ("[als]", "[als, ease]", "line 20, key placements.only_als.rank_by: rank_by generator with 2 generators"),
        ("[ease, popular]", "[knowledge]", "line 18, key placements.sale.generators: the generator knowledge"),
        ("  sale:", "  home:", "line 16, key placements.home: the same key twice"),
        ("objective: margin", "objective: profit", "line 1, key objective: 'profit'"),
        ("placements:", "placement:", r"line 4, key placement: .*Did you mean placements\?"),
        ("{not:", "{not", "line 7: what is no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_line_key_and_remedy(was: str, becomes: str, told: str) -> None:
    assert was in FILE
    with pytest.raises(ConfigurationError, match=told) as refusal:
        read(FILE.replace(was, becomes, 1))
    assert refusal.value.found.startswith("nextbest.yml, line ")
    assert refusal.value.expected
    assert refusal.value.remedy


def test_two_pins_may_follow_each_other_at_a_position_but_not_meet() -> None:
    both = FILE.replace(
        "    freshness: {", "      - {item: other, position: 1, from: 2026-11-30 08:00}\n    freshness: {", 1
    )
    assert len(read(both).placements["home"].pins) == 2
    with pytest.raises(ConfigurationError, match="at position 1 at the same time"):
        read(both.replace("from: 2026-11-30 08:00}", "from: 2026-11-29}"))


@pytest.mark.parametrize("raw", [b"\xff", b"[1]", b"placements: 5", b"a: &a [*a]", b"placements: {home: {pins: 3}}"])
def test_what_is_no_such_file_is_refused_and_nothing_else_happens(raw: bytes) -> None:
    with pytest.raises(ConfigurationError):
        parse_configuration(raw)


def test_releases_are_set_in_shares() -> None:
    told = read("release: {shadow_share: 0.25}").release
    assert (told.shadow_share, told.canary_share) == (0.25, 0.0)
    with pytest.raises(ConfigurationError, match=r"line 2, key release.canary_share: 1.5. .*from 0 to 1"):
        read("release:\n  canary_share: 1.5")
