"""chatstore keeps LLM chat sessions and their messages behind a REST API."""

__version__ = "0.1.0"
