"""Dagster: names, dependencies and time. Bodies of a few lines that call the other rooms."""

from recommender.quiet import silence_telemetry

silence_telemetry()
