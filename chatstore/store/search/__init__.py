"""Searching, and keeping the search index."""
