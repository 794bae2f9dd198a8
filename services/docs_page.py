"""The OpenAPI document as one page that loads nothing from anywhere. What it says stands in `services.openapi`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["docs_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d2330 }
h2 { font: 600 1rem ui-monospace, monospace; margin: 2rem 0 .3rem; border-top: 1px solid #d8dce4; padding-top: 1rem }
h2 b { color: #2557a7; display: inline-block; min-width: 4rem }
td { padding: .1rem 1rem .1rem 0; vertical-align: top } td:first-child { font-family: ui-monospace, monospace }
pre { background: #f4f5f8; padding: .7rem; overflow: auto; font-size: 13px } summary { cursor: pointer }
"""


def docs_page(document: Mapping[str, Any]) -> str:
    """HTML of every operation and every schema."""
    operations = [
        _operation(path, method, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in document["components"]["schemas"].items()]
    title = escape(document["info"]["title"])
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    intro = "JSON in, JSON out. The same as a document for programs: <code>/openapi.json</code>."
    return "\n".join([head, f"<h1>{title}</h1><p>{intro}</p>", *operations, "<h1>Schemas</h1>", *schemas, "</html>"])


def _operation(path: str, method: str, told: Mapping[str, Any]) -> str:
    takes = told.get("requestBody", {}).get("content", {})
    rows = [("takes", _named(content)) for content in takes.values()]
    rows += [(status, _answer(answer)) for status, answer in told["responses"].items()]
    table = "".join(f"<tr><td>{escape(left)}</td><td>{right}</td></tr>" for left, right in rows)
    sentences = escape(" ".join(filter(None, (told["summary"], told.get("description")))))
    return f"<h2><b>{escape(method.upper())}</b> {escape(path)}</h2><p>{sentences}</p><table>{table}</table>"


def _answer(answer: Mapping[str, Any]) -> str:
    bodies = [_named(content) or escape(media) for media, content in answer["content"].items()]
    return " ".join([escape(answer["description"]), *bodies])


def _named(content: Mapping[str, Any]) -> str:
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>' if name else ""


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{text}</pre></details>'
