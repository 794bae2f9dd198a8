"""The decision service measured as its callers see it, beside a constant answer and a bare predict. No product code."""
