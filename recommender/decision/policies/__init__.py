"""Policies of single actions: exact probabilities, repeatable choices, and a personal one that must prove itself first.

Slates have their own exploration in `recommender.decision.policy`.
"""
