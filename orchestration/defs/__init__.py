"""The five asset groups: data, features, model, decision, monitoring."""
