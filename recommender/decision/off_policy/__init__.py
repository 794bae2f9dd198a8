"""What a policy would have earned, told from what another one did: estimates, intervals, support, verdict.

Nothing is fitted to be served here.
"""
