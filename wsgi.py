"""The WSGI entry point: `gunicorn wsgi:app`. Importing it builds the node and opens no socket."""

from emqx_mgmt.server.application import application

app = application()
