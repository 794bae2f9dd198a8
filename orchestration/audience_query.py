"""An agent's audience: the operator's own SELECT over the marts, in a database that can do nothing else.

The one place beside dbt that opens DuckDB: it holds no data of ours, only views of Parquet files that dbt wrote, and is
gone after the query. Everything else (files, network, extensions, settings) is locked before the query is read.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import duckdb
import pyarrow as pa
import pyarrow.json as pj

from recommender.agents.audience import Audience
from recommender.errors import InputError, NotReadyError

__all__ = ["query_audience"]

THREADS, MEMORY, SECONDS = 2, "4GB", 600


def query_audience(marts: Path, sql: str, decided_ms: int) -> Audience:
    """Run one SELECT; `getvariable('decided_at')` is the moment of the run.

    Every mart is a table of its name. Where the result has the column `attributes` (JSON, as in `users`), each key of
    it becomes a column as well, so that consents and what conditions ask for need no SQL. InputError tells what is
    wrong with the query.
    """
    files = sorted(marts.glob("*.parquet"))
    if not files:
        remedy = "run `nextbest run --source NAME --path DIR` first."
        raise NotReadyError(f"no marts in {marts}.", "marts that dbt has built.", remedy)
    with duckdb.connect(":memory:", config={"threads": THREADS, "memory_limit": MEMORY}) as database:
        _lock(database, files, decided_ms)
        watch = Timer(SECONDS, database.interrupt)
        watch.start()
        try:
            table = database.execute(_single_select(database, sql)).to_arrow_table()
        except duckdb.Error as problem:
            raise InputError(
                f"an audience that cannot be asked for: {str(problem).strip():.500}",
                f"one SELECT over {', '.join(path.stem for path in files)}.",
                "Correct `audience` in the agent's file; `nextbest agent check` tries it.",
            ) from None
        finally:
            watch.cancel()
    return Audience.read(_with_attributes(table))


def _lock(database: duckdb.DuckDBPyConnection, files: list[Path], decided_ms: int) -> None:
    """Views of the marts first; afterwards nothing but these files can be read, and no setting changed."""
    for path in files:
        name, place = path.stem.replace('"', '""'), _literal(str(path))
        database.execute(f"""create view "{name}" as select * from read_parquet({place})""")
    moment = datetime.fromtimestamp(decided_ms / 1000, UTC).replace(tzinfo=None).isoformat(sep=" ")
    database.execute(f"set variable decided_at = timestamp {_literal(moment)}")
    database.execute(f"set allowed_paths = [{', '.join(_literal(str(path)) for path in files)}]")
    for setting in (
        "enable_external_access = false",
        "python_enable_replacements = false",  # or a query could read this program's variables
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "lock_configuration = true",
    ):
        database.execute(f"set {setting}")


def _single_select(database: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The one statement, as DuckDB's own parser reads it."""
    statements = database.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(str(statement.type).rpartition(".")[2] for statement in statements) or "nothing"
        remedy = "Leave everything but the SELECT out of `audience`."
        raise InputError(f"an audience of {kinds}.", "one SELECT.", remedy)
    return statements[0].query


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _with_attributes(table: pa.Table) -> pa.Table:
    """The keys of the column `attributes` as columns; one that the query gives itself stays as it is."""
    if "attributes" not in table.column_names or not pa.types.is_string(table["attributes"].type):
        return table
    texts = [text or "{}" for text in table["attributes"].to_pylist()]
    if not texts or set(texts) == {"{}"}:
        return table
    joined = "\n".join(texts).encode()
    try:
        found = pj.read_json(
            io.BytesIO(joined), pj.ReadOptions(use_threads=False, block_size=max(len(joined) + 1, 1 << 20))
        )
    except pa.ArrowInvalid as problem:
        raise InputError(
            f"attributes of people that do not fit together ({problem!s:.200}).",
            "values of one type for each attribute.",
            "Select what the agent needs, such as attributes->>'plan' as plan, and leave `attributes` out.",
        ) from None
    for name in found.column_names:
        if name not in table.column_names and not pa.types.is_nested(found[name].type):
            table = table.append_column(name, found[name])
    return table
