"""What training reads and what serving reads are the same: a user's state, offline and online, bit for bit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from feature_repo.offline import states_at
from recommender.states import USER_STATE_SCHEMA, UserStates
from services.online_features import OnlineFeatures

pytestmark = pytest.mark.slow  # turns the ring once

FEATURES = [name for name in USER_STATE_SCHEMA.names if name not in ("as_of", "created_at")]


def test_every_users_state_is_the_same_offline_and_as_the_service_reads_it(turned_ring):
    workspace = turned_ring.workspace
    mart = pq.read_table(workspace.mart("user_states"), columns=["user_id", "as_of"])
    cut = pc.max(mart["as_of"]).cast(pa.int64()).as_py()
    users = mart["user_id"].filter(pc.equal(mart["as_of"].cast(pa.int64()), cut))
    offline = states_at(workspace, "user", users, np.full(len(users), cut))
    online = OnlineFeatures(workspace)
    online.connect()
    served = [online.user_state(user) for user in users.to_pylist()]
    assert len(served) > 100
    assert served == offline.select(FEATURES).to_pylist()
    assert all(row["as_of_ms"] == cut for row in served)


def test_both_paths_fill_the_same_columns_of_a_batch(turned_ring):
    """The assembler sees no difference: neither a type nor an order of columns."""
    workspace = turned_ring.workspace
    mart = pq.read_table(workspace.mart("user_states"), columns=["user_id", "as_of"])
    cut = pc.max(mart["as_of"]).cast(pa.int64()).as_py()
    user = mart["user_id"].filter(pc.equal(mart["as_of"].cast(pa.int64()), cut))[0].as_py()
    offline = UserStates.from_table(states_at(workspace, "user", [user], [cut]))
    online = OnlineFeatures(workspace)
    online.connect()
    row = dict(online.user_state(user) or {})
    served = UserStates.from_rows([{**row, "as_of": None, "created_at": None}])
    assert served.table.select(FEATURES).equals(offline.table.select(FEATURES))
