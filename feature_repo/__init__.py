"""The feature plane: what Feast knows of users and items, offline and online. No feature is computed here."""
