"""Found by gunicorn by itself: `gunicorn wsgi:app` in this directory starts the broker."""

from emqx_mgmt.server.gunicorn_conf import *  # noqa: F403
