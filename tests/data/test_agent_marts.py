"""Agents' decisions and outcomes in the warehouse: all of them, once, whoever wrote them and in whichever version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from random_shop import Shop
from real_dbt import Warehouse

from recommender.agents.agent import Variant
from recommender.agents.attribution import AGENT_OUTCOME_SCHEMA, outcomes_of, rewards_of
from recommender.agents.record import AGENT_DECISION_SCHEMA
from recommender.agents.slots import SLOT_SCHEMA
from recommender.events import DAY_MS
from tests.agents.mailing import AGENT, START_MS, Mailing, run_days

pytestmark = pytest.mark.slow

LATER_COLUMNS = [*SLOT_SCHEMA.names, "item_propensity", "variant", "variant_share"]
TWO = (Variant("lints", 0.5, "lints", 0.1, 0.0), Variant("fixed", 0.5, "fixed", 0.1, 0.0))
SEVERAL = replace(AGENT, variants=TWO)


def test_decisions_of_runs_and_of_the_moment_and_what_they_earned_become_marts(tmp_path: Path) -> None:
    warehouse = Warehouse.fed_from(tmp_path, tmp_path / "home")
    workspace = warehouse.workspace
    first, bought, _ = run_days(Mailing(people=200), AGENT, [0])
    others, more, _ = run_days(Mailing(people=200), SEVERAL, [1, 2, 9])
    records, events = pa.concat_tables([first, others]), pa.concat_tables([bought, more])
    of_day = [records.filter(pc.equal(records["decided_at"], moment)) for moment in pc.unique(records["decided_at"])]
    folder = workspace.agent_decisions("spring")
    folder.mkdir(parents=True)
    pq.write_table(of_day[0].drop_columns(LATER_COLUMNS), folder / "first.parquet")  # by an earlier version
    pq.write_table(of_day[1], folder / "second.parquet")
    pq.write_table(of_day[3], folder / "third.parquet")
    workspace.journal_agent_decisions.parent.mkdir(parents=True)
    pq.write_table(of_day[2], workspace.journal_agent_decisions)
    outcomes = outcomes_of(AGENT, records, events, START_MS + 10 * DAY_MS)
    pq.write_table(outcomes, workspace.agent_outcomes("spring"))

    done = warehouse.dbt("build", "--select", "+agent_decisions", "+agent_outcomes")
    assert done.returncode == 0, done.stdout[-6000:]

    mart = warehouse.mart("agent_decisions").cast(AGENT_DECISION_SCHEMA)
    order = [("decided_at", "ascending"), ("decision_id", "ascending")]
    assert mart.equals(records.sort_by(order).combine_chunks())
    earned = warehouse.mart("agent_outcomes")
    closed = mart.slice(0, 3 * 200)  # the window of the last day's decisions is open
    assert earned["decision_id"].to_pylist() == closed["decision_id"].to_pylist()
    # To the bit what an agent learns from.
    assert earned["reward"].to_numpy().tobytes() == rewards_of(AGENT, closed, events).tobytes()
    assert np.count_nonzero(earned["is_wanted"]) > 0


def test_a_workspace_without_agents_has_empty_marts_with_every_column(shop: Shop) -> None:
    mart = shop.warehouse.mart("agent_decisions")
    assert mart.cast(AGENT_DECISION_SCHEMA).equals(AGENT_DECISION_SCHEMA.empty_table())
    assert shop.warehouse.mart("agent_outcomes").cast(AGENT_OUTCOME_SCHEMA).equals(AGENT_OUTCOME_SCHEMA.empty_table())


def test_a_record_whose_parts_do_not_multiply_to_the_whole_is_found(tmp_path: Path) -> None:
    warehouse = Warehouse.fed_from(tmp_path, tmp_path / "home")
    records, _, _ = run_days(Mailing(people=20), AGENT, [0])
    wrong = pc.multiply(records["propensity"], 0.5)
    place = AGENT_DECISION_SCHEMA.get_field_index("propensity")
    folder = warehouse.workspace.agent_decisions("spring")
    folder.mkdir(parents=True)
    pq.write_table(pa.concat_tables([records.set_column(place, "propensity", wrong)] * 2), folder / "first.parquet")
    done = warehouse.dbt("build", "--select", "+agent_decisions")
    assert done.returncode == 1
    assert "product_of_agent_decisions_propensity" in done.stdout
    assert "unique_agent_decisions_decision_id" in done.stdout
