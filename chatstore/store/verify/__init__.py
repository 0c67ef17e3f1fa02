"""Checks of the promises about stored data."""
