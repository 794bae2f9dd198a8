"""An agent that tries several policies: who is decided for by which, how, and what each has learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import chi2, chisquare

from recommender.agents.agent import Agent, Frequency, Shares, Variant
from recommender.agents.agent_model import COLD, AgentModel, load_agent_model, load_beliefs, save_agent_model
from recommender.agents.audience import Audience
from recommender.agents.audit import audit_run
from recommender.agents.beliefs import Beliefs
from recommender.agents.deciding import Run, decide_for
from recommender.agents.in_the_moment import decide_in_the_moment, known_columns, nothing_in_the_moment
from recommender.agents.learning import learn
from recommender.agents.record import sends_of
from recommender.agents.sends import SEND_SCHEMA, Sends
from recommender.agents.variants import variant_places
from recommender.errors import IntegrityError
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT, START_MS, Mailing, run_days

BOLD = Variant("bold", 0.3, "lints", 0.8, 0.0)
SEVERAL = replace(
    AGENT,
    shares=Shares(holdout=0.2, baseline=0.1, baseline_action="news"),
    variants=(BOLD, Variant("steady", 0.5, "fixed", 0.1, 0.0), Variant("even", 0.2, "uniform", 0.4, 0.0)),
)
KNOWN = AgentModel(Beliefs(("news", "voucher"), (0.1, 0.12), (0.02, 0.02)))
RUN = Run(START_MS, "v1")
LATER_MS = START_MS + 100 * DAY_MS


def unsent(audience: Audience) -> Sends:
    return Sends.of(SEND_SCHEMA.empty_table(), audience)


def decided(agent: Agent, mailing: Mailing, run: Run = RUN, model: AgentModel = COLD) -> pa.Table:
    audience = mailing.audience()
    return decide_for(agent, audience, unsent(audience), run, model)


def of(records: pa.Table, **wanted: str) -> pa.Table:
    for name, value in wanted.items():
        records = records.filter(pc.equal(records[name], value))
    return records


def test_everybody_has_one_policy_by_the_shares_whatever_their_arm() -> None:
    ids = [f"p{number}" for number in range(60_000)]
    places = variant_places(SEVERAL, ids)
    counts = np.bincount(places, minlength=3)
    assert chisquare(counts, np.array([0.3, 0.5, 0.2]) * len(ids)).pvalue > 0.001
    records = decided(SEVERAL, Mailing(20_000))
    table = np.array(
        [[len(of(records, arm=arm, variant=one.name)) for one in SEVERAL.variants] for arm in SEVERAL.shares.named()]
    )
    shares = np.outer(list(SEVERAL.shares.named().values()), [one.share for one in SEVERAL.variants])
    # Independent: 9 cells, whose shares are those of arm times those of variant.
    assert chisquare(table.ravel(), shares.ravel() * 20_000).pvalue > 0.001


def test_a_person_keeps_their_policy_for_ever_and_their_arm_knows_nothing_of_it() -> None:
    mailing, records, sent = Mailing(1000), [], SEND_SCHEMA.empty_table()
    for day in range(4):
        audience = mailing.audience()
        found = decide_for(SEVERAL, audience, Sends.of(sent, audience), Run(START_MS + day * DAY_MS, "v1"), COLD)
        records.append(found)
        sent = pa.concat_tables([sent, sends_of(found)])
    met = pa.concat_tables(records).group_by("user_id").aggregate([("variant", "count_distinct")])
    assert set(met["variant_count_distinct"].to_pylist()) == {1}
    alone = decided(replace(SEVERAL, variants=()), mailing)
    assert alone["arm"].equals(records[0]["arm"])
    assert alone["variant"].null_count == alone["variant_share"].null_count == 1000
    # A variant that grows at the expense of the last one keeps its people.
    grown = replace(
        SEVERAL, variants=(replace(BOLD, share=0.4), *SEVERAL.variants[1:2], replace(SEVERAL.variants[2], share=0.1))
    )
    before, after = (variant_places(agent, mailing.audience().user_ids) for agent in (SEVERAL, grown))
    assert (after[before == 0] == 0).all()
    # Other policies divide people anew: of those whom the old one had, the new one has no more than its share.
    renamed = replace(SEVERAL, variants=(replace(BOLD, name="bolder"), *SEVERAL.variants[1:]))
    ids = [f"p{number}" for number in range(20_000)]
    old, new = (variant_places(agent, ids) == 0 for agent in (SEVERAL, renamed))
    assert abs(new[old].mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / old.sum())


def test_each_policy_explores_within_its_own_budget() -> None:
    mailing = Mailing(6000)
    records = decided(SEVERAL, mailing, model=KNOWN)
    messages = of(records, arm="agent")
    for one in SEVERAL.variants:
        own = of(messages, variant=one.name)
        offered = np.array([max(chances) for chances in own["offered_propensities"].to_pylist()])
        # Half of the budget is for actions, half for windows.
        assert offered.min() >= 1.0 - one.exploration / 2 - 1e-12
        assert set(own["variant_share"].to_pylist()) == {one.share}
    audit = audit_run(SEVERAL, mailing.audience(), records, sends_of(records), {})
    assert audit.is_sound, audit.sentence
    assert audit.is_within_budget
    assert [one.exploration for one in audit.tried] == [0.8, 0.1, 0.4]
    assert audit.messages == len(messages)
    assert audit.exploration == pytest.approx(
        sum(one.messages * one.exploration for one in audit.tried) / len(messages)
    )


def test_draws_follow_the_probabilities_of_whoever_was_assigned() -> None:
    """400 replays of 50 people: the probability of a record is that of the decision given arm and variant."""
    mailing = Mailing(50, seed=3)
    options = [(action.name, window.name) for action in SEVERAL.actions for window in SEVERAL.timing.windows]
    seen, expected = np.zeros((50, len(options))), np.zeros((50, len(options)))
    for replay in range(400):
        records = decided(SEVERAL, mailing, replace(RUN, salt=f"#{replay}"), KNOWN)
        own = np.asarray(pc.equal(records["arm"], "agent").to_numpy())
        pairs = zip(records["action"].to_pylist(), records["send_window"].to_pylist(), strict=True)
        place = np.array([options.index(pair) if pair in options else 0 for pair in pairs])
        seen[np.arange(50), place] += 1
        expected[np.arange(50), place] = records["propensity"].to_numpy()
    cells = expected[own] > 0
    statistic = ((seen[own] - 400 * expected[own]) ** 2)[cells] / (400 * expected[own][cells])
    missed = 1.0 - expected[own].sum(axis=1)
    assert missed.max() < 0.02  # what so few replays have not shown
    assert chi2.sf(statistic.sum(), int((cells.sum(axis=1) - 1).sum())) > 0.001


def test_each_policy_learns_its_own_and_a_moment_takes_the_same_as_a_run(tmp_path: Path) -> None:
    agent = replace(
        SEVERAL,
        frequency=Frequency(()),
        exploration=1.0,
        variants=tuple(replace(one, exploration=1.0) for one in SEVERAL.variants),
    )
    records, events, audience = run_days(Mailing(3000), agent, [0, 3])
    learnt = learn(agent, records, events, LATER_MS)
    assert {name: own.policy_name for name, own in learnt.variants.items()} == {
        "bold": "lints",
        "steady": "best",
        "even": "best",
    }
    assert {own.facts["decisions"] for own in learnt.variants.values()} == {6000}  # each from all
    version = save_agent_model(learnt, tmp_path / "model")
    model = load_agent_model(tmp_path / "model")
    assert model.version == version
    run = Run(START_MS + 9 * DAY_MS, "v2", ahead_ms=DAY_MS)
    together = decide_for(SEVERAL, audience, unsent(audience), run, model)
    assert set(of(together, variant="steady", arm="agent")["action"].to_pylist()) == {"voucher", "news"}
    versions = {one: model.of(one).version for one in model.variants}
    assert len(set(versions.values())) == 3
    for row in range(40):
        one = Audience.read(audience.table.slice(row, 1))
        assert decide_for(SEVERAL, one, unsent(one), run, model).equals(together.slice(row, 1)), row
        moment = decide_in_the_moment(SEVERAL, one, unsent(one), run, f"d{row}", model)
        silent = nothing_in_the_moment(SEVERAL, one.user_ids[0], run, f"d{row}", model, "journal away")
        (batch,) = together.slice(row, 1).to_pylist()
        for name in ("arm", "variant", "variant_share", "policy", "policy_version"):
            assert moment[name] == silent[name] == batch[name], name
        assert moment["policy_version"] == versions[batch["variant"]]
        assert (moment["offered_propensities"], moment["send_share"]) == (
            batch["offered_propensities"],
            batch["send_share"],
        )
    assert known_columns(SEVERAL, model) >= {"is_thrifty", "age", "town"}
    (tmp_path / "model" / "variants" / "bold" / "agent.json").write_text("{}")
    with pytest.raises(IntegrityError):
        load_agent_model(tmp_path / "model")
    assert load_beliefs(tmp_path / "model").of("bold").policy_name == "best"


def test_a_policy_that_has_not_learnt_yet_takes_what_is_thought_of_everybody() -> None:
    assert decided(SEVERAL, Mailing(50), model=KNOWN)["policy"].unique().to_pylist() == ["best"]
    assert decided(SEVERAL, Mailing(50))["policy"].unique().to_pylist() == ["prior"]


def test_policies_that_learn_from_their_own_decisions_see_no_others() -> None:
    records, events, _ = run_days(Mailing(400), replace(SEVERAL, variants=()), [0])
    later, more, _ = run_days(Mailing(400), SEVERAL, [3])
    both, bought = pa.concat_tables([records, later]), pa.concat_tables([events, more])
    model = learn(replace(SEVERAL, learns_from_own=True), both, bought, LATER_MS)
    own = {one.name: len(of(later, variant=one.name)) for one in SEVERAL.variants}
    assert sum(own.values()) == 400
    # What was decided before there were several is everybody's.
    assert {name: one.facts["decisions"] for name, one in model.variants.items()} == {
        name: 400 + count for name, count in own.items()
    }
    new = (*SEVERAL.variants[1:], Variant("newcomer", 0.3, "thompson", 0.1, 0.0))
    begun = learn(replace(SEVERAL, variants=new, learns_from_own=True), later, more, LATER_MS)
    assert begun.variants["newcomer"].policy_name == "prior"
    assert model.variants["bold"].actions != learn(SEVERAL, both, bought, LATER_MS).variants["bold"].actions
