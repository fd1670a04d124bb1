"""A session and what belongs to it: its zone, its ACL cache, deferred acknowledgements."""
