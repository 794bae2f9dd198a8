"""The eye: validation, drift, live performance and alerts. It watches and tells; it changes nothing."""

from recommender.quiet import silence_telemetry

silence_telemetry()
