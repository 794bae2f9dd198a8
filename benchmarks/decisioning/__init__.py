"""Policies and off-policy estimates measured where the truth is known: logs are simulated, figures are not."""
