"""Use cases of several transactions or programs; they know no request."""
