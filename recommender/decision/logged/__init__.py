"""What was once decided and earned: reading logged bandit data. No policy is made here, and none is judged."""
