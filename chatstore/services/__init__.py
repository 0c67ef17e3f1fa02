"""Use cases that need more than one part of what lies below; no request in here."""
