"""States as the service reads them from a file that comes, goes and breaks under it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest
from test_online_store import online

from feature_repo.offline import materialise_users
from recommender.errors import FeatureStoreError
from services.circuit_breaker import BreakerConfig
from services.online_features import OnlineFeatures
from services.stored_states import StoredStates, StoredStatesConfig

pytestmark = pytest.mark.slow  # importing Feast takes 5 s

# Long enough that a busy machine looks at the breaker before its pause is over.
QUICK = StoredStatesConfig(breaker=BreakerConfig(failures=2, pause_seconds=1.0))


@pytest.fixture
def workspace(states, tmp_path):
    made = states.write(tmp_path, [states.user(user, states.cut) for user in range(40)])
    materialise_users(made, states.cut)
    return made


def opened(workspace) -> StoredStates:
    stored = StoredStates(OnlineFeatures(workspace), QUICK)
    stored.connect()
    return stored


def read(stored: StoredStates, *user_ids: str) -> list:
    async def one_after_another() -> list:
        return [await stored.read(user_id) for user_id in user_ids]

    return asyncio.run(one_after_another())


def test_below_feasts_front_the_values_are_those_that_it_gives(workspace):
    users = [f"u{user:04d}" for user in range(40)]
    assert read(opened(workspace), *users) == [(row, False) for row in online(workspace, users)]


def test_an_unknown_user_is_no_failure(workspace):
    stored = opened(workspace)
    assert read(stored, "nobody") == [(None, False)]
    assert stored.breaker.state == "closed"


def test_a_store_that_fails_is_left_alone_and_read_again_once_it_is_mended(workspace):
    stored = opened(workspace)
    with closing(sqlite3.connect(workspace.online_store, isolation_level=None)) as other:
        other.execute("alter table nextbest_user_states rename to mislaid")
        assert read(stored, "u0001", "u0001", "u0001") == [(None, True)] * 3
        assert (stored.breaker.state, stored.breaker.opened) == ("open", 1)
        other.execute("alter table mislaid rename to nextbest_user_states")
    time.sleep(QUICK.breaker.pause_seconds)
    (state, is_degraded), _ = read(stored, "u0001", "u0001")
    assert (state["user_id"], is_degraded, stored.breaker.state) == ("u0001", False, "closed")


def test_a_file_that_is_gone_is_given_up_and_one_in_its_place_is_opened(states, workspace):
    stored = opened(workspace)
    for suffix in ("", "-wal", "-shm"):
        workspace.online_store.with_name(workspace.online_store.name + suffix).unlink(missing_ok=True)
    with pytest.raises(FeatureStoreError, match="no online store"):
        stored.connect()
    assert read(stored, "u0001") == [(None, True)]
    later = states.cut + states.day
    states.write(workspace.root, [states.user(1, later)])
    materialise_users(workspace, later)
    stored.connect()
    assert [state["as_of_ms"] for state, _ in read(stored, "u0001")] == [later]


def test_a_file_that_is_no_store_is_told_and_not_read(workspace):
    stored = opened(workspace)
    # Beside the old one first, or it may get that one's number; the log of the old one would still be read with it.
    aside = workspace.online_store.with_suffix(".aside")
    aside.write_bytes(b"\0" * 8_192)
    for suffix in ("-wal", "-shm"):
        workspace.online_store.with_name(workspace.online_store.name + suffix).unlink(missing_ok=True)
    aside.replace(workspace.online_store)
    with pytest.raises(FeatureStoreError, match="while opening sqlite"):
        stored.connect()
    assert read(stored, "u0001") == [(None, True)]
