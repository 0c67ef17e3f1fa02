"""One module for each migration of the database schema."""
