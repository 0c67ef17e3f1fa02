"""Copies of code that steps need, which do not change when chatstore does."""
