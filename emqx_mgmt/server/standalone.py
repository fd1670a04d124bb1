"""The broker under gunicorn, without gunicorn's command line."""

from __future__ import annotations

from typing import Any

from gunicorn.app.base import BaseApplication


class Standalone(BaseApplication):
    def load_config(self) -> None:
        from emqx_mgmt.server import gunicorn_conf

        for name, value in vars(gunicorn_conf).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        from emqx_mgmt.server.application import application

        return application()
