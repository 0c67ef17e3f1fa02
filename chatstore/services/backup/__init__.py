"""Writes, verifies and restores backups."""
