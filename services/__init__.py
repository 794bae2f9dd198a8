"""The door: the BentoML service, the event collector and online features. Nothing is learned here."""

from recommender.quiet import silence_telemetry

silence_telemetry()
