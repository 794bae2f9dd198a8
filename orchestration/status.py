"""`nextbest status`: what is served, how fresh it is, what drifted and which runs were last. Reading only."""

from __future__ import annotations

import json
from typing import Any

from orchestration.settings import load_settings
from orchestration.tables import read_as_of_ms, to_iso
from recommender.errors import NextbestError
from recommender.workspace import Workspace

__all__ = ["read_status"]


def read_status(workspace: Workspace) -> dict[str, Any]:
    """Figures of the workspace; parts that do not exist yet say so instead of failing."""
    settings = load_settings(workspace)
    return {
        "home": str(workspace.root),
        "source": {"name": settings.source, "path": settings.path, "until": settings.until, "clock": settings.clock},
        "objective": _or_reason(lambda: _objective(workspace)),
        "models": _models(workspace),
        "release": _release(workspace),
        "evaluation": _evaluation(workspace),
        "marts as of": _or_reason(lambda: to_iso(read_as_of_ms(workspace))),
        "drift": _drift(workspace),
        "performance": _performance(workspace),
        "agents": _agents(workspace),
        "runs": _runs(workspace),
    }


def _models(workspace: Workspace) -> dict[str, Any]:
    from recommender.model.bundle import verify_bundle
    from services.model_store import aliases, bundle_folder

    found: dict[str, Any] = {}
    for alias, version in aliases(workspace).items():
        try:
            manifest = verify_bundle(bundle_folder(workspace, version))
        except NextbestError as problem:  # what is wrong with it is what people want to know here
            found[alias] = {"version": version, "problem": problem.found}
            continue
        trained = {"objective": manifest.objective.get("name", ""), "parameters": manifest.tuning.get("origin", "")}
        found[alias] = {"version": version, "as_of": to_iso(manifest.as_of_ms), **trained, "metrics": manifest.metrics}
    return found or {"champion": "none yet: nothing was promoted"}


def _release(workspace: Workspace) -> dict[str, Any]:
    """The canary, what was refused and why, the last changes, and how the bundles of each running worker do."""
    from services.champion import worker_facts
    from services.release import release_facts
    from services.respawning import crash_facts

    workers = {"workers": worker_facts(workspace) or "none is running"}
    crashes = crash_facts(workspace)
    return {**release_facts(workspace), **workers, **({"crashes": crashes} if crashes else {})}


def _objective(workspace: Workspace) -> dict[str, Any]:
    """What the operator declares now; a champion may still have been trained for something else."""
    from orchestration.tuning import declared_objective, read_tuning

    objective = declared_objective(workspace)
    return {"name": objective.name, "kpi": objective.kpi, "parameters": read_tuning(workspace, objective).origin}


def _evaluation(workspace: Workspace) -> dict[str, Any]:
    """Where the latest challenger's report lies, and what the gate said."""
    page = workspace.evaluation_page
    if not page.exists():
        return {"verdict": "nothing was evaluated yet"}
    kept = json.loads(page.with_suffix(".json").read_text())
    return {
        "challenger": kept["evidence"]["version"],
        "verdict": "may be promoted" if kept["verdict"]["promote"] else "refused",
        "studied": "yes" if kept["study"] else "not yet: `nextbest study`",
        "report": str(page),
    }


def _drift(workspace: Workspace) -> dict[str, Any]:
    found = _latest_json(workspace, "drift.json")
    if found is None:
        return {"verdict": "not looked at yet"}
    drifted = {entry["column"]: entry["effect"] for entry in found["columns"] if entry["is_drifted"]}
    kept = {name: found[name] for name in ("champion", "as_of", "verdict", "sentence")}
    return {**kept, "drifted": drifted, "report": found["html_path"]}


def _performance(workspace: Workspace) -> dict[str, Any]:
    found = _latest_json(workspace, "performance.json")
    if found is None:
        return {"verdict": "not looked at yet"}
    by_model = {
        entry["model_version"]: {"decisions": entry["decisions"], "click_rate": entry["click_rate"]["value"]}
        for entry in found["live"]["models"]
    }
    return {"champion": found["champion"], "verdict": found["fall"]["verdict"], "models": by_model}


def _agents(workspace: Workspace) -> dict[str, Any]:
    from orchestration.agent_facts import agent_status

    return agent_status(workspace) or {"verdict": "there is none"}


def _latest_json(workspace: Workspace, name: str) -> Any:
    path = workspace.monitoring / name
    return json.loads(path.read_text()) if path.exists() else None


def _runs(workspace: Workspace, limit: int = 5) -> list[dict[str, Any]]:
    from orchestration.instance import open_instance

    with open_instance(workspace) as instance:
        records = instance.get_run_records(limit=limit)
    return [
        {
            "run": record.dagster_run.run_id[:8],
            "job": record.dagster_run.job_name,
            "status": record.dagster_run.status.value,
            "ended": to_iso(int(record.end_time * 1000)) if record.end_time else "",
        }
        for record in records
    ]


def _or_reason(read: Any) -> Any:
    try:
        return read()
    except NextbestError as problem:
        return problem.found
