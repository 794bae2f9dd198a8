"""Which assets run together, and when."""

from __future__ import annotations

import dagster as dg

__all__ = ["AGENT_ASSETS", "RETRAINED_ASSETS", "build_jobs", "daily_refresh"]

RETRAINED_ASSETS = ("training_set", "challenger", "champion")
AGENT_ASSETS = ("agent_policy", "agent_messages", "agent_deliveries", "agent_readout", "agent_insights")

_groups = dg.AssetSelection.groups
# What takes minutes and is asked for by itself.
_on_demand = dg.AssetSelection.assets("ranker_parameters", "ranking_study")
# One partition an agent, asked for one by one.
_agents = dg.AssetSelection.assets(*AGENT_ASSETS)
_everything = _groups("data", "features", "model", "decision", "monitoring") - _on_demand - _agents


def build_jobs() -> list[dg.UnresolvedAssetJobDefinition]:
    """The nine ways to turn the wheel."""
    return [
        dg.define_asset_job("ring", _everything, description="From raw files to a verdict on a new bundle."),
        dg.define_asset_job(
            "refresh",
            _everything - dg.AssetSelection.assets(*RETRAINED_ASSETS),
            description="New data, features and evidence; nothing is trained.",
        ),
        dg.define_asset_job(
            "retrain",
            dg.AssetSelection.assets(*RETRAINED_ASSETS),
            description="A challenger on the features at hand, and the gate: what the retraining sensor asks for.",
        ),
        dg.define_asset_job(
            "tune",
            dg.AssetSelection.assets("ranker_parameters"),
            description="A search for the ranker's parameters on the training set at hand, for later trainings.",
        ),
        dg.define_asset_job(
            "study",
            dg.AssetSelection.assets("ranking_study"),
            description="Refits of the latest challenger without its parts and with older ones, for its report.",
        ),
        dg.define_asset_job(
            "agents",
            _agents,
            description="An agent learns, decides for its whole audience, hands its messages over and is read out.",
        ),
        dg.define_asset_job(
            "agents_learn",
            dg.AssetSelection.assets("agent_policy"),
            description="An agent learns between its runs, from what came by /v1/track since.",
        ),
        dg.define_asset_job(
            "erase",
            dg.AssetSelection.assets("journal", "erasures"),
            description="People taken out of every store, as soon as that was asked for; every refresh does it too.",
        ),
        dg.define_asset_job(
            "learn",
            (_groups("data", "features") | dg.AssetSelection.assets("journal", "training_set", "challenger"))
            - dg.AssetSelection.assets("online_user_states"),
            description="Up to a challenger that is not released: what a backtest runs at each cut.",
        ),
    ]


daily_refresh = dg.ScheduleDefinition(
    name="daily_refresh",
    job_name="refresh",
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: land, validate, refresh features, look for drift. The sensor decides about a retrain.",
)
