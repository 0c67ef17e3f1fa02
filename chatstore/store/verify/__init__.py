"""The promises about stored data, as checks."""
