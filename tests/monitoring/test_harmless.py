"""Texts for pages: no tag survives, everything else does."""

from __future__ import annotations

import pandas as pd

from monitoring.harmless import harmless, harmless_frame


def test_no_tag_survives() -> None:
    assert harmless("<script>alert('a & b')</script>") == "‹script›alert('a & b')‹/script›"


def test_a_frame_keeps_everything_else() -> None:
    at = pd.Timestamp("2024-10-04")
    frame = pd.DataFrame({"<b>": ["<i>", None, "plain"], "n": [1.0, None, 3.0], "at": [at] * 3, "mixed": ["<", 1, at]})
    frame.index = pd.Index([7, 8, 9])
    expected = pd.DataFrame({"‹b›": ["‹i›", None, "plain"], "n": frame["n"], "at": frame["at"], "mixed": ["‹", 1, at]})
    expected.index = frame.index
    pd.testing.assert_frame_equal(harmless_frame(frame), expected)
