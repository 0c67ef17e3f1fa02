"""Search, and the upkeep of the search index."""
