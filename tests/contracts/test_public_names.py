"""Every module of the core lists its public names, sorted, and lists all of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "recommender").rglob("*.py"))


def order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions, each by name: what ruff's RUF022 keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def declared(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return list(ast.literal_eval(node.value))
    return None


def bound(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that the module defines (functions and classes), and names bound in any other way."""
    defined, others = set(), set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            others.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            others.update(name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    return defined, others


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_names_are_listed_sorted_and_real(path: Path) -> None:
    tree = ast.parse(path.read_text())
    defined, others = bound(tree)
    public = {name for name in defined if not name.startswith("_")}
    names = declared(tree) or []
    assert names == sorted(set(names), key=order)
    assert public <= set(names), "public, but not listed"
    assert set(names) <= defined | others, "listed, but not there"
    assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_opens_by_saying_what_lives_in_it(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
