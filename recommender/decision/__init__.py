"""Deciding: from a user's state to a recorded slate. Nothing is learned here, and nothing is imported from `model`."""
