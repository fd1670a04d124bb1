"""`emqx-mgmt start`: the broker under gunicorn, without a checkout and without gunicorn's command line."""

from __future__ import annotations

import os
from typing import Any

from gunicorn.app.base import BaseApplication

from emqx_mgmt.settings.environment import CONFIG_VARIABLE


class Standalone(BaseApplication):
    def load_config(self) -> None:
        from emqx_mgmt.server import gunicorn_conf

        for name, value in vars(gunicorn_conf).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        from emqx_mgmt.server.application import application

        return application()


def start_broker(config: str | None) -> None:
    if config:
        os.environ[CONFIG_VARIABLE] = config
    Standalone().run()
