"""The feature plane: what Feast knows of users and items, offline and online. No feature is computed here."""

from recommender.quiet import silence_telemetry

silence_telemetry()
