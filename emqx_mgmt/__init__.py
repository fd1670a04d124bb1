"""The management API and the broker behind it."""
