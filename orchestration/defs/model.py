"""The group `model`: a training set, a challenger with its evidence, and the gate that may make it champion."""

import base64

import dagster as dg

from monitoring.slack_messages import Figure, retrain_finished, retrain_started
from orchestration.alerts import settle_retraining, slack_of, take_pending_causes
from orchestration.resources import Ring
from orchestration.study import study_challenger, study_lines
from orchestration.training import build_training_set, release, train_challenger, tune_ranker
from recommender.model.bundle import load_bundle
from recommender.model.evidence_figure import evidence_figure
from recommender.model.search_figure import search_figure
from services.model_store import aliases

__all__ = ["model_assets", "picture"]

TOP_FEATURES = 12


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A figure that Dagster's UI shows in place."""
    return dg.MetadataValue.md(f"![figure](data:image/png;base64,{base64.b64encode(png).decode()})")


@dg.asset(
    group_name="model",
    kinds={"feast"},
    deps=["feature_store", "events", "decisions", "item_pairs", "item_segments", "retraining_evidence"],
)
def training_set(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Slates at past cuts, labelled by what happened after them, and every slate that was really served."""
    if reasons := take_pending_causes(ring.workspace, context.run_id):
        served = aliases(ring.workspace).get("champion", "none")
        slack_of(ring.workspace).send(retrain_started(reasons, served, context.run_id))
    summary = build_training_set(ring, context.log.info).summary()
    return dg.MaterializeResult(metadata={**summary, "dagster/row_count": summary["rows"]})


@dg.asset(group_name="model", kinds={"xgboost"}, deps=[training_set])
def ranker_parameters(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A bounded, seeded search for better parameters; later trainings use what it confirmed (job `tune`)."""
    found = tune_ranker(ring, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "verdict": found.sentence,
            "trials": len(found.trials),
            "search": picture(search_figure(found)),
            "parameters": dict(found.parameters),
            "slates": dict(found.slates),
            "beside the defaults": str(found.confirmed),
        }
    )


@dg.asset(group_name="model", kinds={"xgboost"}, deps=[training_set, ranker_parameters, "users"])
def challenger(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """A bundle trained on everything, and the evidence of its rehearsal on days it had not seen."""
    manifest, evidence, verdict = train_challenger(ring, context.log.info)
    folder = ring.workspace.models / "challenger"
    gains = list(load_bundle(folder).ranker.importances().items())[:TOP_FEATURES]
    return dg.MaterializeResult(
        metadata={
            "version": manifest.version,
            "verdict": "promote" if verdict.promote else "refuse",
            "evidence": picture(evidence_figure(evidence)),
            "users": dict(evidence.users),
            **evidence.headline,
            "compared with": dict(verdict.figures),
            "champion": evidence.champion,
            "gain of the top features": dg.MetadataValue.md(
                "\n".join(f"- {name}: {gain:,.0f}" for name, gain in gains)
            ),
            "report": dg.MetadataValue.url(ring.workspace.evaluation_page.as_uri()),
            "report file": dg.MetadataValue.path(str(ring.workspace.evaluation_page)),
            "folder": dg.MetadataValue.path(str(folder)),
        },
        data_version=dg.DataVersion(manifest.version),
    )


@dg.asset(group_name="model", kinds={"xgboost"}, deps=[challenger])
def ranking_study(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """What each generator and group of features is worth to the latest challenger, and what age costs (job `study`)."""
    found = study_challenger(ring, context.log.info)
    return dg.MaterializeResult(
        metadata={
            "people": found.users,
            **study_lines(found),
            "report": dg.MetadataValue.url(ring.workspace.evaluation_page.as_uri()),
            "report file": dg.MetadataValue.path(str(ring.workspace.evaluation_page)),
        }
    )


@dg.asset(group_name="model", kinds={"bentoml"}, deps=[challenger])
def champion(context: dg.AssetExecutionContext, ring: Ring) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The bundle that is served. A challenger takes its place only through the gate; Slack hears either way."""
    released = release(ring.workspace)
    settle_retraining(
        ring.workspace, context.run_id, "promoted" if released.is_promoted else "refused", released.reasons
    )
    told = slack_of(ring.workspace).send(
        retrain_finished(
            is_promoted=released.is_promoted,
            challenger=released.challenger,
            champion=released.champion_before,
            reasons=released.reasons,
            figures=[Figure(name, *found) for name, found in released.figures.items()],
            run_id=context.run_id,
            canary_share=released.canary_share,
        )
    )
    is_champion = released.is_promoted and not released.canary_share
    return dg.MaterializeResult(
        metadata={
            "verdict": "promoted" if is_champion else "canary" if released.is_promoted else "refused",
            "version": released.challenger if is_champion else released.champion_before or "none",
            "canary share": released.canary_share,
            "challenger": released.challenger,
            "champion before": released.champion_before or "none",
            "reasons": list(released.reasons),
            "slack": told.detail,
        }
    )


# Not made by a run: the service picks the champion up by itself, and writes the journal that the next run begins with.
decision_service = dg.AssetSpec(
    "decision_service",
    group_name="decision",
    kinds={"bentoml"},
    deps=[champion, "online_user_states"],
    description="`nextbest serve`: answers on the champion, records every decision, takes events in.",
)


def model_assets() -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """Assets of the group, and the service that they end in."""
    return [training_set, ranker_parameters, challenger, ranking_study, champion, decision_service]
