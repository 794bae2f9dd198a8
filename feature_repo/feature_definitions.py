"""The entities, views and service of the feature plane, made from the state schemas; nothing reads or writes data here.

Feature names live in `recommender.states` alone. These definitions stay in one file: split files that
import each other fail with `ConflictingFeatureViewNames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.types import Array, FeastType, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from feature_repo.store import VIEWS, Kind

__all__ = [
    "CREATED_COLUMN",
    "CUT_COLUMN",
    "HIDDEN_COLUMNS",
    "SNAPSHOT_TTL",
    "USER_SERVICE",
    "Definitions",
    "define",
]

USER_SERVICE = "user_state"
CUT_COLUMN = "as_of"
CREATED_COLUMN = "created_at"

# The join keeps only snapshots this close to the wanted cut, so that it never holds every cut of a user
# at once: it joins before it deduplicates (4.4 GB for 200,000 rows over views without a bound).
SNAPSHOT_TTL = timedelta(days=1)

# Schema columns that are no features. Only the items carry the snapshot's own cut as one: users have `as_of_ms`,
# and a view that is written online may not name its timestamp column twice.
HIDDEN_COLUMNS: dict[Kind, tuple[str, ...]] = {"user": (CUT_COLUMN, CREATED_COLUMN), "item": (CREATED_COLUMN,)}

_TYPES: dict[pa.DataType, FeastType] = {
    pa.int64(): Int64,
    pa.string(): String,
    pa.list_(pa.int64()): Array(Int64),
    pa.list_(pa.string()): Array(String),
    pa.timestamp("ms"): UnixTimestamp,
}


@dataclass(frozen=True)
class Definitions:
    """Everything that `apply` registers."""

    user: Entity
    item: Entity
    user_view: FeatureView
    item_view: FeatureView
    user_service: FeatureService

    def objects(self) -> list[Entity | FeatureView | FeatureService]:
        return [self.user, self.item, self.user_view, self.item_view, self.user_service]


def define(marts: Path) -> Definitions:
    """Definitions over the mart Parquet in the absolute folder `marts`."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
    user_view = _view("user", user, marts, online=True)
    item_view = _view("item", item, marts, online=False)
    service = FeatureService(name=USER_SERVICE, features=[user_view])
    return Definitions(user, item, user_view, item_view, service)


def _view(kind: Kind, entity: Entity, marts: Path, *, online: bool) -> FeatureView:
    view, schema = VIEWS[kind]
    names = [name for name in schema.names if name not in HIDDEN_COLUMNS[kind]]
    return FeatureView(
        name=view,
        entities=[entity],
        ttl=SNAPSHOT_TTL,
        online=online,
        schema=[Field(name=name, dtype=_TYPES[schema.field(name).type]) for name in names],
        source=FileSource(
            name=f"mart_{view}",
            path=str(marts.absolute() / f"{view}.parquet"),
            timestamp_field=CUT_COLUMN,
            created_timestamp_column=CREATED_COLUMN,
        ),
    )
