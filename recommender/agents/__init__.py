"""AI decisioning: an agent decides for each person which message goes where and when, or that none does."""
