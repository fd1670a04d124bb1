"""From a client's bytes to its subscribers'."""
