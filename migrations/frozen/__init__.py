"""Copies of code that steps need; they stay the same when chatstore changes."""
