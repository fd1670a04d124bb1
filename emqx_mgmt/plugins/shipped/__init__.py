"""The plugins that come with the broker."""
