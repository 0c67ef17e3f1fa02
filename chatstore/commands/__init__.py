"""The groups of the `chatstore` command; `chatstore.cli` puts them together."""
