"""States at cuts through the real Feast and DuckDB: what a request at a cut may see, and the shape of the answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_repo.offline import apply, states_at
from recommender.errors import InputError, NotReadyError
from recommender.states import ITEM_STATE_SCHEMA, USER_STATE_SCHEMA, UserStates, empty_state
from recommender.workspace import Workspace

pytestmark = pytest.mark.slow  # importing Feast takes 5 s

USERS = 60


@pytest.fixture(scope="module")
def workspace(states, tmp_path_factory) -> Workspace:
    """Three weekly cuts of sixty users and forty items; user 59 appears at the last cut only."""
    cuts = [states.cut - 14 * states.day, states.cut - 7 * states.day, states.cut]
    users = [states.user(user, cut) for cut in cuts for user in range(USERS) if user < 59 or cut == states.cut]
    items = [states.item(item, cut) for cut in cuts for item in range(states.items)]
    workspace = states.write(tmp_path_factory.mktemp("features"), users, items)
    apply(workspace)
    return workspace


def test_a_snapshot_counts_at_exactly_its_own_millisecond(workspace, states):
    (row,) = states_at(workspace, "user", ["u0003"], [states.cut]).to_pylist()
    assert row == states.user(3, states.cut)


def test_a_cut_one_millisecond_before_a_snapshot_never_sees_it(workspace, states, tmp_path):
    before, yesterday = states.cut - 1, states.cut - states.day
    with pytest.raises(NotReadyError, match="a snapshot at each wanted cut"):
        states_at(workspace, "user", ["u0003"], [before])
    daily = states.write(tmp_path, [states.user(3, yesterday), states.user(3, states.cut)])
    apply(daily)
    (row,) = states_at(daily, "user", ["u0003"], [before], max_age_ms=states.day).to_pylist()
    assert row == states.user(3, yesterday)


def test_every_row_of_both_marts_comes_back_bit_for_bit_in_the_state_schema(workspace):
    for kind, schema in (("user", USER_STATE_SCHEMA), ("item", ITEM_STATE_SCHEMA)):
        mart = pq.read_table(workspace.mart(f"{kind}_states")).cast(schema)
        assert states_at(workspace, kind, mart[f"{kind}_id"], mart["as_of"]).equals(mart)


def test_rows_in_are_rows_out_in_the_order_of_the_request_with_duplicates(workspace, states):
    rng = np.random.default_rng(5)
    chosen = rng.integers(0, 59, 500)
    cuts = states.cut - 7 * states.day * rng.integers(0, 3, 500)
    found = states_at(workspace, "user", [f"u{user:04d}" for user in chosen], cuts)
    expected = [states.user(int(user), int(cut)) for user, cut in zip(chosen, cuts, strict=True)]
    assert found.to_pylist() == expected


def test_the_same_marts_give_the_same_bytes(workspace):
    mart = pq.read_table(workspace.mart("user_states"), columns=["user_id", "as_of"])
    first, second = (states_at(workspace, "user", mart["user_id"], mart["as_of"]) for _ in range(2))
    assert first.equals(second)
    assert first.schema.equals(USER_STATE_SCHEMA)


def test_a_row_created_after_the_cut_is_not_used_even_for_an_earlier_as_of(states, tmp_path):
    known = states.user(5, states.cut)
    corrected = states.user(5, states.cut, created_ms=states.cut + 1, seed=9)  # history rewritten a millisecond later
    assert corrected["history_item_ids"] != known["history_item_ids"]
    workspace = states.write(tmp_path, [corrected, known])
    apply(workspace)
    assert states_at(workspace, "user", ["u0005"], [states.cut]).to_pylist() == [known]


def test_of_two_rows_for_one_cut_the_one_created_last_before_the_cut_counts(states, tmp_path):
    old = states.user(5, states.cut - 2, created_ms=states.cut - 2)
    new = states.user(5, states.cut - 2, created_ms=states.cut - 1, seed=9)
    workspace = states.write(tmp_path, [new, old])
    apply(workspace)
    (row,) = states_at(workspace, "user", ["u0005"], [states.cut], max_age_ms=2).to_pylist()
    assert row["history_item_ids"] == new["history_item_ids"]


def test_unknown_entities_come_back_as_the_empty_state_with_as_of_null(workspace, states):
    week_ago = states.cut - 7 * states.day
    found = states_at(workspace, "user", ["nobody", "u0004", "u0059"], [states.cut, week_ago, week_ago])
    assert found["as_of"].is_valid().to_pylist() == [False, True, False]
    assert found.slice(0, 1).to_pylist() == [empty_state("nobody")]
    assert found["user_id"].to_pylist() == ["nobody", "u0004", "u0059"]
    assert len(UserStates.from_table(found.filter(pc.is_valid(found["as_of"])))) == 1


def test_unknown_items_have_no_title_and_no_events(workspace, states):
    found = states_at(workspace, "item", ["i01", "nothing"], [states.cut, states.cut])
    assert found["title"].to_pylist() == ["title 1", ""]
    assert found["event_count"].to_pylist() == [states.cut + 1, 0]


def test_an_older_snapshot_is_not_passed_off_as_the_state_at_the_cut(workspace, states, tmp_path):
    rows = [
        states.user(1, states.cut - states.day),
        states.user(2, states.cut - states.day),
        states.user(1, states.cut),
    ]
    daily = states.write(tmp_path, rows)
    apply(daily)
    found = states_at(daily, "user", ["u0001", "u0002"], [states.cut, states.cut])
    assert found["as_of"].is_valid().to_pylist() == [True, False]  # Feast did find user 2, a day old
    with pytest.raises(InputError, match="the views' ttl"):
        states_at(workspace, "user", ["u0003"], [states.cut], max_age_ms=7 * states.day)


def test_a_request_that_cannot_be_read_is_refused_in_a_sentence(workspace, states):
    with pytest.raises(InputError, match="2 ids and 1 cuts"):
        states_at(workspace, "user", ["u0001", "u0002"], [states.cut])
    with pytest.raises(InputError, match="1 ids that are null"):
        states_at(workspace, "user", pa.array(["u0001", None]), [states.cut, states.cut])
    with pytest.raises(NotReadyError, match="no mart `user_states`"):
        states_at(Workspace(workspace.root / "empty"), "user", ["u0001"], [states.cut])


def test_an_empty_request_has_an_empty_answer_of_the_right_shape(workspace):
    assert states_at(workspace, "item", [], []).equals(ITEM_STATE_SCHEMA.empty_table())


def test_the_answer_does_not_depend_on_the_chunks_and_progress_counts_distinct_requests(workspace, states):
    ids = [f"u{user:04d}" for user in (5, 1, 9, 1, 13, 20, 2)]
    cuts = [states.cut - 7 * states.day * (number % 2) for number in range(7)]
    seen: list[tuple[int, int]] = []
    in_chunks = states_at(workspace, "user", ids, cuts, lambda done, total: seen.append((done, total)), chunk_rows=4)
    assert in_chunks.equals(states_at(workspace, "user", ids, cuts))
    assert seen == [(4, 6), (6, 6)]  # u0001 is asked for twice at one cut


def test_applying_twice_changes_nothing(workspace, states):
    before = states_at(workspace, "user", ["u0003"], [states.cut])
    assert apply(workspace) == apply(workspace)
    assert states_at(workspace, "user", ["u0003"], [states.cut]).equals(before)


def test_the_time_zone_of_the_machine_does_not_matter(workspace, states):
    """Naive mart timestamps are UTC, also where the clock on the wall is five hours behind."""
    script = (
        "import sys; from pathlib import Path; from feature_repo.offline import states_at;"
        "from recommender.workspace import Workspace;"
        f"print(states_at(Workspace(Path(sys.argv[1])), 'user', ['u0003'], [{states.cut}]).to_pylist())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(workspace.root)],
        env={**os.environ, "TZ": "America/New_York"},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == str([states.user(3, states.cut)]), done.stderr
