"""The only code that writes queries: it adds and flushes, and never commits."""
