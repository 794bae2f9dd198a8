"""Texts that came from anybody, made safe for pages written by tools that do not escape them. No page is written here.

Evidently puts column names and categories into a script as they are, and Great Expectations puts unexpected values
into its Data Docs: `</script><script>…` in an event that anybody may send ran in the browser of whoever looked.
"""

from __future__ import annotations

import pandas as pd

__all__ = ["harmless", "harmless_frame"]


def harmless(text: str) -> str:
    """The text with the two characters that could open a tag replaced by their look-alikes."""
    return text.replace("<", "‹").replace(">", "›")


def harmless_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame with harmless names, and harmless texts in its columns of objects."""
    columns = {
        harmless(str(name)): _texts(frame[name]) if frame[name].dtype == object else frame[name] for name in frame
    }
    return pd.DataFrame(columns, index=frame.index)


def _texts(column: pd.Series) -> pd.Series:
    return column.map(lambda value: harmless(value) if isinstance(value, str) else value).astype(object)
