"""What of a person a policy may read: the audience's columns as features, and as JSON text in a record and back."""

from __future__ import annotations

import io
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from recommender.agents.audience import CONSENT, DEED, Audience

__all__ = ["features_of", "from_json", "to_json", "varying"]

NO_FEATURES = ("user_id", "timezone", "attributes")
MOST_TEXTS = 100  # a text with more values than this in half of the rows names people, and says nothing about others


def features_of(audience: Audience) -> pa.Table:
    """Every column of numbers, texts, flags and times, but for ids, the zone, consents, raw JSON, and deeds that stop
    messages.
    """
    names = [
        field.name
        for field in audience.table.schema
        if field.name not in NO_FEATURES and not field.name.startswith((CONSENT, DEED)) and _is_read(field.type)
    ]
    return audience.table.select(names)


def varying(features: pa.Table) -> tuple[dict[str, str], pa.Table]:
    """Why columns cannot tell one person from another (name → reason), and the table without them."""
    left_out = {name: reason for name in features.column_names if (reason := _useless(features[name]))}
    return left_out, features.drop_columns(list(left_out))


def to_json(features: pa.Table) -> pa.Array:
    """One JSON object a row, the keys in the order of the columns; missing values are null."""
    texts = [_member(name, features[name].combine_chunks()) for name in features.column_names]
    if not texts:
        return pa.array(["{}"] * features.num_rows, pa.string())
    inside = pc.binary_join_element_wise(*texts, ",")
    return pc.binary_join_element_wise("{", inside, "}", "")


def from_json(texts: pa.ChunkedArray) -> pa.Table:
    """The features again, types as the values tell them; a column that some rows lack is null there."""
    if not len(texts) or pc.all(pc.equal(texts, "{}")).as_py():
        return pa.table({"": pa.nulls(len(texts))}).select([])
    joined = "\n".join(texts.to_pylist()).encode()
    return pj.read_json(io.BytesIO(joined), pj.ReadOptions(use_threads=False, block_size=max(len(joined) + 1, 1 << 20)))


def _is_read(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_string)
    return any(test(kind) for test in (*tests, pa.types.is_large_string, pa.types.is_timestamp, pa.types.is_date))


def _member(name: str, values: pa.Array) -> pa.Array:
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
    texts = values.cast(pa.string())
    if not any(test(values.type) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)):
        texts = pc.binary_join_element_wise('"', _escaped(texts), '"', "")
    return pc.binary_join_element_wise(_quoted(name), pc.fill_null(texts, "null"), ":")


def _escaped(texts: pa.Array) -> pa.Array:
    texts = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    # Other control characters tell nothing about a person, and JSON forbids them bare.
    return pc.replace_substring_regex(texts, "[\\x00-\\x1f]", " ")


@lru_cache(1000)  # names of columns: in the moment they took a tenth of a decision
def _quoted(name: str) -> str:
    return f'"{_escaped(pa.array([name]))[0].as_py()}"'


def _useless(column: pa.ChunkedArray) -> str:
    distinct = int(pc.count_distinct(column, mode="only_valid").as_py())
    if distinct + (column.null_count > 0) < 2:
        return "one value only"
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return "names people" if text and distinct > max(MOST_TEXTS, len(column) // 2) else ""
