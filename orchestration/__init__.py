"""Dagster: names, dependencies and time. Bodies of a few lines that call the other rooms."""
