"""Who a caller may be, and the secrets that prove it; pure functions, no HTTP."""
