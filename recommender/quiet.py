"""Nothing phones home: the switches that turn the frameworks' telemetry off, set by the product itself.

Every package that imports a framework calls `silence_telemetry` in its `__init__`, before the import.
"""

from __future__ import annotations

import os
import warnings

__all__ = ["TELEMETRY_SWITCHES", "silence_telemetry"]

TELEMETRY_SWITCHES = {
    "DO_NOT_TRACK": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "0",
    "BENTOML_DO_NOT_TRACK": "True",
    "GX_ANALYTICS_ENABLED": "false",
    "FEAST_USAGE": "False",
}


def silence_telemetry() -> None:
    """Set every switch, whatever the caller's environment says; child processes inherit them."""
    os.environ.update(TELEMETRY_SWITCHES)
    # dagster-dbt asks for sqlglot's Rust tokenizer, which sqlglot then warns about on every import.
    warnings.filterwarnings("ignore", message=r"sqlglot\[rs\] is deprecated")
