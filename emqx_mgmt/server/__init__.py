"""Runs the node under gunicorn: what the master checks and opens, and the worker that serves.

`emqx_mgmt.server.worker.Worker` and the hooks are in modules of their own, so that importing others does not import
gunicorn.
"""
