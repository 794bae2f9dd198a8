"""The online store after a materialisation, read through Feast as the service reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_repo.offline import materialise_users, states_at
from recommender.configuration import read_configuration
from recommender.errors import IntegrityError, NotReadyError
from recommender.online_store import feature_environment
from recommender.states import USER_STATE_SCHEMA
from recommender.workspace import Workspace

pytestmark = pytest.mark.slow  # importing Feast takes 5 s

YAML = Path(__file__).resolve().parents[2] / "feature_repo" / "feature_store.yaml"
FEATURES = [name for name in USER_STATE_SCHEMA.names if name not in ("as_of", "created_at")]


def online(workspace: Workspace, user_ids: list[str]) -> list[dict]:
    """Rows as the service gets them: the same file, the same variables, one store a reader."""
    from feast import FeatureStore

    with feature_environment(workspace, read_configuration(workspace.configuration).online_store):
        store = FeatureStore(repo_path=str(workspace.root), fs_yaml_file=YAML)
    rows = [{"user_id": user} for user in user_ids]
    answer = store.get_online_features(features=store.get_feature_service("user_state"), entity_rows=rows).to_dict()
    return [{name: answer[name][row] for name in FEATURES} for row in range(len(rows))]


def test_a_thousand_users_read_the_same_online_as_offline_bit_for_bit(states, tmp_path):
    workspace = states.write(tmp_path, [states.user(user, states.cut) for user in range(1_000)])
    counts = materialise_users(workspace, states.cut)
    users = [f"u{user:04d}" for user in range(1_000)]
    offline = states_at(workspace, "user", users, [states.cut] * 1_000).select(FEATURES).to_pylist()
    assert counts == {"users_written": 1_000, "users_emptied": 0}
    assert online(workspace, users) == offline
    assert sum(len(row["history_item_ids"]) for row in offline) > 3_000  # histories, not only zeros


def test_an_unknown_user_reads_as_nothing(states, tmp_path):
    workspace = states.write(tmp_path, [states.user(1, states.cut)])
    materialise_users(workspace, states.cut)
    assert online(workspace, ["nobody"]) == [{**dict.fromkeys(FEATURES), "user_id": "nobody"}]


def test_materialising_a_later_cut_replaces_every_user(states, tmp_path):
    earlier, later = states.cut - 7 * states.day, states.cut
    workspace = states.write(tmp_path, [states.user(user, cut) for cut in (earlier, later) for user in range(20)])
    materialise_users(workspace, earlier)
    assert {row["as_of_ms"] for row in online(workspace, ["u0002", "u0019"])} == {earlier}
    materialise_users(workspace, later)
    materialise_users(workspace, later)  # again: nothing changes
    expected = [{name: states.user(user, later)[name] for name in FEATURES} for user in range(20)]
    assert online(workspace, [f"u{user:04d}" for user in range(20)]) == expected


def test_an_older_cut_is_refused_unless_it_is_asked_for(states, tmp_path):
    earlier = states.cut - 7 * states.day
    workspace = states.write(tmp_path, [states.user(1, earlier), states.user(1, states.cut)])
    materialise_users(workspace, states.cut)
    with pytest.raises(IntegrityError, match="rewind=True"):
        materialise_users(workspace, earlier)
    assert [row["as_of_ms"] for row in online(workspace, ["u0001"])] == [states.cut]
    materialise_users(workspace, earlier, rewind=True)
    assert [row["as_of_ms"] for row in online(workspace, ["u0001"])] == [earlier]


def test_users_who_are_no_more_leave_nothing_behind(states, tmp_path):
    workspace = states.write(tmp_path, [states.user(user, states.cut) for user in range(10)])
    materialise_users(workspace, states.cut)
    later = states.cut + states.day
    states.write(tmp_path, [states.user(user, later) for user in range(8)])
    assert materialise_users(workspace, later) == {"users_written": 8, "users_emptied": 2}
    (gone,) = online(workspace, ["u0009"])
    assert gone["as_of_ms"] is None  # what a reader takes for an unknown user
    assert gone["history_item_ids"] == []
    assert gone["spend_micros"] == 0
    assert materialise_users(workspace, later) == {"users_written": 8, "users_emptied": 0}


def test_a_cut_that_the_mart_does_not_hold_is_refused(states, tmp_path):
    workspace = states.write(tmp_path, [states.user(1, states.cut)])
    with pytest.raises(NotReadyError, match="no user states at"):
        materialise_users(workspace, states.cut + 1)


def test_progress_counts_users(states, tmp_path):
    workspace = states.write(tmp_path, [states.user(user, states.cut) for user in range(1_500)])
    seen: list[tuple[int, int]] = []
    materialise_users(workspace, states.cut, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1_000, 1_500), (1_500, 1_500)]


def test_a_reader_is_not_blocked_while_the_store_is_written(states, tmp_path):
    """A write transaction in progress leaves the last committed rows readable at once (write-ahead logging)."""
    import sqlite3

    workspace = states.write(tmp_path, [states.user(1, states.cut)])
    materialise_users(workspace, states.cut)
    writer = sqlite3.connect(workspace.online_store, isolation_level=None)
    reader = sqlite3.connect(workspace.online_store, timeout=0)
    try:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM nextbest_user_states")
        (count,) = reader.execute("SELECT count(*) FROM nextbest_user_states").fetchone()
        assert count == 2 * (len(FEATURES) - 1)  # of u0001, and of the row that says that all are there
    finally:
        writer.close()
        reader.close()
