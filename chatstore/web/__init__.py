"""Request machinery; with routes/, the only users of `request` and `g`."""
