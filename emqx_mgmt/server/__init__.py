"""Runs the node under gunicorn: what the master checks and opens, and the worker that serves.

`emqx_mgmt.server.Worker` and the hooks live in modules of their own, so that importing one does not drag in gunicorn.
"""
