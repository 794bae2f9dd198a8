"""The address of the online store: what is read, what is refused, what is told of it."""

from __future__ import annotations

import json
import os

import pytest
import yaml

from recommender.configuration import parse_configuration
from recommender.errors import ConfigurationError, NotReadyError
from recommender.online_store import OnlineStore, feature_environment
from recommender.workspace import Workspace


def test_a_file_of_the_workspace_is_the_default(tmp_path):
    assert parse_configuration(b"").online_store == OnlineStore("sqlite") == OnlineStore.parse("sqlite")
    path = str(tmp_path / "features" / "online.db")
    assert OnlineStore().feast(Workspace(tmp_path)) == {"type": "sqlite", "path": path}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("redis://cache.internal", "redis://cache.internal:6379/0"),
        ("redis://127.0.0.1:7000/4", "redis://127.0.0.1:7000/4"),
        ("rediss://shop:p%2Cw@cache:6380/1", "rediss://cache:6380/1"),
    ],
)
def test_an_address_is_told_without_user_and_password(address, words):
    store = OnlineStore.parse(address)
    assert store.words == words
    assert "p,w" not in repr(store)


def test_the_client_gets_the_password_whatever_it_holds(tmp_path):
    """Feast's own way of reading its text, on what it is given."""
    from feast.infra.online_stores.redis import RedisOnlineStore

    store = OnlineStore.parse("rediss://shop:p%2C%22%3D%24w@cache:6380/1")
    told = store.feast(Workspace(tmp_path), socket_timeout=0.5)
    nodes, parameters = RedisOnlineStore._parse_connection_string(told["connection_string"])
    assert nodes == [{"host": "cache", "port": "6380"}]
    known = {"db": 1, "username": "shop", "password": 'p,"=$w', "ssl": True}
    assert parameters == {**known, "socket_timeout": 0.5, "retry": None}
    assert yaml.safe_load(json.dumps(told)) == told  # it is put into Feast's YAML as it stands


@pytest.mark.parametrize(
    "value",
    [
        "postgres://h/1",
        "secret",
        "redis://",
        "redis://h:port",
        "redis://h/one",
        "redis://h/1?x=1",
        "redis://[::1]:1",
        7,
    ],
)
def test_what_is_no_address_is_refused_with_its_line_and_without_its_text(value):
    with pytest.raises(ConfigurationError, match=r"nextbest\.yml, line 2, key online_store") as refusal:
        parse_configuration(f"placements:\nonline_store: {json.dumps(value)}\n".encode())
    assert "secret" not in str(refusal.value)


def test_the_environment_is_as_it_was_once_the_store_is_open(tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTBEST_ONLINE_STORE", "before")
    monkeypatch.setenv("SHOP_REDIS", "deep")
    store = OnlineStore.parse("redis://:${SHOP_REDIS}@h")
    with feature_environment(Workspace(tmp_path), store):
        assert 'password=\\"deep\\"' in os.environ["NEXTBEST_ONLINE_STORE"]
    assert os.environ["NEXTBEST_ONLINE_STORE"] == "before"
    assert "NEXTBEST_FEATURE_REGISTRY" not in os.environ
    monkeypatch.delenv("SHOP_REDIS")
    with pytest.raises(NotReadyError, match="no variable SHOP_REDIS"):
        store.feast(Workspace(tmp_path))
