"""People taken out of the online store, whatever it is kept in. Feast itself can only take out everybody.

A SQLite file is written anew afterwards, so that no freed page keeps what it held; readers are not kept waiting by
that. A Redis forgets at once; what it has on disk it writes anew by its own settings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.online import answering, read_ledger, write_ledger
from feature_repo.store import online_store, open_store
from recommender.workspace import Workspace

__all__ = ["erase_users"]

_PROJECT, _KEY_VERSION = "nextbest", 3  # as feature_store.yaml says
_WAIT_SECONDS = 30.0
_AT_ONCE = 1_000


def erase_users(workspace: Workspace, user_ids: Sequence[str]) -> int:
    """Leave nothing of these people in the online store nor in its ledger; how many of them it may have held.

    Raises NotReadyError where a Redis does not answer.
    """
    as_of_ms, held = read_ledger(workspace)
    is_theirs = pc.is_in(held, value_set=pa.array(user_ids, pa.string()))
    if online_store(workspace).kind != "sqlite":
        with answering(workspace):
            _erase_from_redis(workspace, [_key(user_id) for user_id in user_ids])
    elif workspace.online_store.exists():
        _erase_from_file(workspace, [_key(user_id) for user_id in user_ids])
    found = int(pc.sum(is_theirs).as_py() or 0)
    if found:
        write_ledger(workspace, as_of_ms, held.filter(pc.invert(is_theirs)))
    return found


def _erase_from_file(workspace: Workspace, keys: Sequence[bytes]) -> None:
    with closing(sqlite3.connect(workspace.online_store, timeout=_WAIT_SECONDS, isolation_level=None)) as file:
        file.execute("pragma secure_delete = on")
        for table in _tables(file):
            for start in range(0, len(keys), _AT_ONCE):
                file.execute("begin immediate")
                batch = [(key,) for key in keys[start : start + _AT_ONCE]]
                file.executemany(f'delete from "{table}" where entity_key = ?', batch)
                file.execute("commit")
        file.execute("vacuum")
        file.execute("pragma wal_checkpoint(truncate)").fetchone()


def _tables(file: sqlite3.Connection) -> list[str]:
    """Those of Feast's views, the column `entity_key` tells them."""
    names = [name for (name,) in file.execute("select name from sqlite_master where type = 'table'")]
    return [name for name in names if "entity_key" in {row[1] for row in file.execute(f'pragma table_info("{name}")')}]


def _erase_from_redis(workspace: Workspace, keys: Sequence[bytes]) -> None:
    store = open_store(workspace)
    client: Any = store.provider.online_store._get_client(store.config.online_store)
    for start in range(0, len(keys), _AT_ONCE):
        client.delete(*(key + _PROJECT.encode() for key in keys[start : start + _AT_ONCE]))


def _key(user_id: str) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user_id)])
    return bytes(serialize_entity_key(key, entity_key_serialization_version=_KEY_VERSION))
