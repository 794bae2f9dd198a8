"""The Data Docs as pages that stand alone: an index of every check, details that load nothing. No judging here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

__all__ = ["Line", "stand_alone", "write_index"]


@dataclass(frozen=True)
class Line:
    """One check in the index."""

    batch: str
    subject: str
    found: str
    expected: str
    reason: str
    success: bool


# Great Expectations draws its index and loads its styles with scripts from six other hosts, a logo and a
# newsletter among them: without a network the index stays empty, and with one opening it phones home.
_FOREIGN = re.compile(
    r"<script\b.*?</script>|<footer>.*?</footer>|<(?:link|img)\b[^>]*\b(?:href|src)=[\"']https?:[^>]*>", re.DOTALL
)
_FOREIGN_IMAGE = re.compile(r"url\([\"']?https?:[^)]*\)")
_STYLE = """<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 }
td, th { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top }
nav, .modal, .d-none, [id*="cta"], [id*="walkthrough"] { display: none }
.fa-check-circle::before { content: "✓"; color: #188038 } .fa-times::before { content: "✗"; color: #c5221f }
.failed { background: #fce8e6 } td:nth-child(3) { font-variant-numeric: tabular-nums }
</style>"""


def stand_alone(site: Path) -> None:
    """Take out of every page what it would load from elsewhere, and style it from within."""
    for page in site.rglob("*.html"):
        text = _FOREIGN_IMAGE.sub("none", _FOREIGN.sub("", page.read_text(encoding="utf-8")))
        page.write_text(text.replace("</head>", f"{_STYLE}</head>", 1), encoding="utf-8")


def write_index(site: Path, lines: Sequence[Line]) -> None:
    """`index.html`: every check with what was found and why it is there, the failed ones first."""
    failed = sum(not line.success for line in lines)
    verdict = f"{failed} of {len(lines)} checks failed" if failed else f"all {len(lines)} checks passed"
    rows = "\n".join(_row(site, line) for line in sorted(lines, key=lambda line: line.success))
    heads = "".join(f"<th>{name}</th>" for name in ("", "check", "found", "expected", "why"))
    body = f"<h1>Validation: {verdict}</h1><table><tr>{heads}</tr>{rows}</table>"
    page = f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{verdict}</title>{_STYLE}</head>'
    (site / "index.html").write_text(f"{page}<body>{body}</body></html>", encoding="utf-8")


def _row(site: Path, line: Line) -> str:
    # A batch `events.rows` has its page under validations/events/rows/<run>/<time>/.
    page = next((site / "validations" / line.batch.replace(".", "/")).rglob("*.html")).relative_to(site)
    table = line.batch.partition(".")[0]
    mark, style = ("✓", "passed") if line.success else ("✗", "failed")
    cells = (line.found, line.expected, line.reason)
    link = f'<a href="{page}">{escape(table)}</a>: {escape(line.subject)}'
    return f'<tr class="{style}"><td>{mark}</td><td>{link}</td>{"".join(f"<td>{escape(c)}</td>" for c in cells)}</tr>'
