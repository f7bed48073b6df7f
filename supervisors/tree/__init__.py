"""Supervision: specs, strategies, budgets, and the supervisor of the sessions."""
