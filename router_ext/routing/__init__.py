"""Which subscribers a topic has."""
