"""Files without the people who were erased: each written aside, then put in the place of the one before.

A Parquet file that names nobody of them is not touched. What is left keeps its order, its schema and its metadata.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.agents.audience import Audience
from recommender.agents.published_audience import PublishedAudience, publish_audience
from recommender.model.training_set import TrainingSet

__all__ = ["People", "audience_without", "homes_files", "outbox_without", "parquet_without", "training_without"]

_PERSON, _AS_IT_ARRIVED = "user_id", "raw_row"
_AT_ONCE = 100  # ids in one pattern: its automaton grows with them
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class People:
    """`ids` as tables spell them; `names`: as messages do, where an anonymous id has no prefix."""

    ids: Sequence[str]
    names: Sequence[str]


def homes_files(root: Path, ending: str) -> Iterator[Path]:
    """All files of a name's ending below a home, without those of further homes inside of it, in order."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(one for one in folders if not (Path(folder, one) / "journal" / "journal.db").exists())
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(ending))


def parquet_without(path: Path, people: People, more: Mapping[bytes, bytes] | None = None) -> int:
    """Take out the rows of people, and rejected rows that name them; how many. `more` is added to the metadata."""
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        wanted = [name for name in (_PERSON, _AS_IT_ARRIVED) if name in schema.names]
        if not wanted or not any(
            _theirs(batch, people).any() for batch in file.iter_batches(_BATCH_ROWS, columns=wanted)
        ):
            return 0
        dropped = 0
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        schema = schema.with_metadata({**(schema.metadata or {}), **(more or {})})
        try:
            with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
                for place in range(file.num_row_groups):
                    group = file.read_row_group(place)
                    kept = ~_theirs(group, people)
                    dropped += int(np.count_nonzero(~kept))
                    writer.write_table(group.filter(pa.array(kept)).cast(schema))
            with aside.open("rb") as written:
                os.fsync(written.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return dropped


def audience_without(path: Path, people: People) -> int:
    """The same for an agent's published audience."""
    published = PublishedAudience.open(path)
    if published is None:
        return 0
    kept = ~_theirs(published.table, people)
    if not kept.all():
        left = Audience(published.table.filter(pa.array(kept)))
        publish_audience(path, left, published.decided_ms, published.known_until_ms)
    return int(np.count_nonzero(~kept))


def training_without(folder: Path, people: People) -> int:
    """The same for a training set: its slates of these people go with all their rows; how many slates."""
    groups = pq.read_table(folder / "groups.parquet", columns=[_PERSON])
    kept = ~_theirs(groups, people)
    if not kept.all():
        TrainingSet.load(folder).take_groups(kept).save(folder)
    return int(np.count_nonzero(~kept))


def outbox_without(path: Path, people: People) -> int:
    """The same for messages that are handed over to a webhook: those whose body names one of the people."""
    with closing(sqlite3.connect(path, timeout=30.0, isolation_level=None)) as file:
        file.execute("pragma secure_delete = on")
        file.execute("pragma temp_store = memory")
        file.execute("create temp table names (name text primary key)")
        file.executemany("insert or ignore into names values (?)", [(name,) for name in people.names])
        dropped = file.execute(
            "delete from messages where exists "
            "(select 1 from json_tree(cast(body as text)) as part join names on name = part.atom)"
        ).rowcount
        file.execute("vacuum")  # also of what was taken back before
        file.execute("pragma wal_checkpoint(truncate)").fetchone()
    return dropped


def _theirs(rows: pa.Table | pa.RecordBatch, people: People) -> npt.NDArray[np.bool_]:
    """bool (n): the rows that are, or name, one of the people."""
    found = np.zeros(rows.num_rows, dtype=bool)
    if _PERSON in rows.schema.names:
        ids = rows[_PERSON].cast(pa.string())
        found |= _mask(pc.is_in(ids, value_set=pa.array(people.ids, pa.string())))
    if _AS_IT_ARRIVED in rows.schema.names:
        for start in range(0, len(people.names), _AT_ONCE):
            pattern = "|".join(map(re.escape, people.names[start : start + _AT_ONCE]))
            named = pc.match_substring_regex(rows[_AS_IT_ARRIVED], rf'(^|[",;|\s])({pattern})($|[",;|\s])')
            found |= _mask(named)
    return found


def _mask(values: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
