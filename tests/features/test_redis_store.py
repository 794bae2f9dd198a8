"""The online store in a Redis: chosen by one value, the same states as in a file, and a secret that stays one."""

from __future__ import annotations

import asyncio
import logging

import pytest
from redis_server import PASSWORD, redis_server

from feature_repo.offline import materialise_users, states_at
from recommender.errors import FeatureStoreError, IntegrityError, NotReadyError
from recommender.states import USER_STATE_SCHEMA
from recommender.workspace import Workspace
from services.online_features import OnlineFeatures

pytestmark = [
    pytest.mark.slow,  # importing Feast takes 5 s
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # a worker's connections end with its process
]

FEATURES = [name for name in USER_STATE_SCHEMA.names if name not in ("as_of", "created_at")]


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    yield from redis_server(tmp_path_factory.mktemp("redis"))


def served(workspace: Workspace, *user_ids: str) -> list:
    """What the service reads, in one connection's life."""
    features = OnlineFeatures(workspace)
    features.connect()

    async def read() -> list:
        return [await features.read(user_id) for user_id in user_ids]

    return asyncio.run(read())


def workspace_on(redis, states, root, rows) -> Workspace:
    workspace = states.write(root, rows)
    workspace.configuration.write_text(f"online_store: {redis.address}\n")
    return workspace


def test_every_user_reads_the_same_from_redis_as_offline_bit_for_bit(redis, states, tmp_path):
    workspace = workspace_on(redis, states, tmp_path, [states.user(user, states.cut) for user in range(300)])
    assert materialise_users(workspace, states.cut) == {"users_written": 300, "users_emptied": 0}
    users = [f"u{user:04d}" for user in range(300)]
    offline = states_at(workspace, "user", users, [states.cut] * 300).select(FEATURES).to_pylist()
    assert served(workspace, *users) == offline
    assert served(workspace, "nobody") == [None]
    assert not workspace.online_store.exists()


def test_who_is_no_more_is_unknown_and_a_state_corrected_at_the_same_cut_counts(redis, states, tmp_path):
    """Feast's own write would skip a row of the same moment; the ledger judges what is older, for all stores alike."""
    workspace = workspace_on(redis, states, tmp_path, [states.user(user, states.cut) for user in (1, 2, 3)])
    materialise_users(workspace, states.cut)
    corrected = states.user(2, states.cut, seed=1)
    states.write(tmp_path, [states.user(1, states.cut), corrected])
    assert materialise_users(workspace, states.cut) == {"users_written": 2, "users_emptied": 1}
    assert served(workspace, "u0002", "u0003") == [{name: corrected[name] for name in FEATURES}, None]


def test_an_older_cut_is_refused_unless_it_is_asked_for(redis, states, tmp_path):
    earlier = states.cut - 7 * states.day
    workspace = workspace_on(redis, states, tmp_path, [states.user(8, cut) for cut in (earlier, states.cut)])
    materialise_users(workspace, states.cut)
    with pytest.raises(IntegrityError, match="rewind=True"):
        materialise_users(workspace, earlier)
    assert [row["as_of_ms"] for row in served(workspace, "u0008")] == [states.cut]
    materialise_users(workspace, earlier, rewind=True)
    assert [row["as_of_ms"] for row in served(workspace, "u0008")] == [earlier]


def test_a_store_that_was_chosen_since_owes_nothing_to_the_one_before(redis, states, tmp_path):
    """An earlier cut into a new store is its first: the ledger belongs to one store, by its address."""
    earlier = states.cut - 7 * states.day
    workspace = states.write(tmp_path, [states.user(9, cut) for cut in (earlier, states.cut)])
    materialise_users(workspace, states.cut)
    workspace.configuration.write_text(f"online_store: {redis.address}\n")
    assert materialise_users(workspace, earlier)["users_written"] == 1
    assert [row["as_of_ms"] for row in served(workspace, "u0009")] == [earlier]


def test_the_password_may_stay_out_of_the_file(redis, states, tmp_path, monkeypatch):
    workspace = states.write(tmp_path, [states.user(1, states.cut)])
    address = f"redis://:${{SHOP_REDIS}}@127.0.0.1:{redis.port}/3"
    workspace.configuration.write_text(f"online_store: {address}\n")
    with pytest.raises(NotReadyError, match="no variable SHOP_REDIS"):
        materialise_users(workspace, states.cut)
    monkeypatch.setenv("SHOP_REDIS", PASSWORD)
    materialise_users(workspace, states.cut)
    assert [row["as_of_ms"] for row in served(workspace, "u0001")] == [states.cut]


def test_a_server_that_is_not_there_is_told_without_its_password(redis, states, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    workspace = states.write(tmp_path, [states.user(1, states.cut)])
    told = []
    for address in (redis.address.replace(f":{redis.port}/", ":1/"), redis.address.replace("redis://:", "redis://:un")):
        workspace.configuration.write_text(f"online_store: {address}\n")
        with pytest.raises(NotReadyError, match=r"redis://127\.0\.0\.1:\d+/3 does not take states") as refusal:
            materialise_users(workspace, states.cut)
        with pytest.raises(FeatureStoreError) as unread:
            served(workspace, "u0001")
        told += [str(refusal.value), str(unread.value)]
    assert PASSWORD not in " ".join([*told, caplog.text])


def test_a_read_that_was_given_up_leaves_nothing_for_the_next(redis, states, tmp_path):
    """An answer that comes after its deadline must not be taken for another person's."""
    workspace = workspace_on(redis, states, tmp_path, [states.user(user, states.cut) for user in range(40)])
    materialise_users(workspace, states.cut)
    features = OnlineFeatures(workspace)
    features.connect()

    async def given_up(user_id: str) -> str:
        try:
            async with asyncio.timeout(0.05):
                await features.read(user_id)
        except TimeoutError:
            return "given up"
        return "answered"

    async def around_a_freeze() -> tuple[list[str], list]:
        users = [f"u{user:04d}" for user in range(40)]
        await asyncio.gather(*(features.read(user) for user in users[:5]))  # connections that are open by then
        redis.freeze()
        outcomes = await asyncio.gather(*(given_up(user) for user in users[:10]))
        redis.thaw()
        return outcomes, [await features.read(user) for user in reversed(users)]

    outcomes, rows = asyncio.run(around_a_freeze())
    assert outcomes == ["given up"] * 10
    users = [f"u{user:04d}" for user in reversed(range(40))]
    assert rows == states_at(workspace, "user", users, [states.cut] * 40).select(FEATURES).to_pylist()


def test_a_redis_that_has_lost_its_memory_is_no_store_in_which_nobody_is_known(redis, states, tmp_path):
    workspace = workspace_on(redis, states, tmp_path, [states.user(1, states.cut)])
    materialise_users(workspace, states.cut)
    assert served(workspace, "nobody") == [None]
    redis.forget()
    with pytest.raises(FeatureStoreError, match="has lost what it held"):
        served(workspace, "u0001")
    materialise_users(workspace, states.cut)
    assert served(workspace, "nobody") == [None]
