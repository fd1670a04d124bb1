from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.broker_process import BrokerProcess
from tests.listeners.secured import Secured, certificates, settings


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One broker for a file, with short timeouts; its log must not show a traceback."""
    made = certificates(tmp_path_factory.mktemp("certificates"))
    env, ports = settings(made)
    for name in ("SSL", "WS", "WSS", "TCP"):
        env[f"EMQX_LISTENER__{name}__EXTERNAL__HANDSHAKE_TIMEOUT"] = "2s"
    env["EMQX_ZONE__EXTERNAL__IDLE_TIMEOUT"] = "2s"
    env["EMQX_MANAGEMENT__HEADER_TIMEOUT"] = "2s"
    env["EMQX_MANAGEMENT__BODY_TIMEOUT"] = "2s"
    env["EMQX_MANAGEMENT__SEND_TIMEOUT"] = "2s"
    env["EMQX_MANAGEMENT__CORS_ORIGINS"] = "https://console.example.org"
    env["EMQX_LISTENER__WS__EXTERNAL__MAX_CONTROL_RATE"] = "20"
    env["EMQX_LISTENER__WS__EXTERNAL__MAX_FRAME_SIZE"] = "1MB"
    process = BrokerProcess(tmp_path_factory.mktemp("secured"), env).start()
    yield Secured(process, made, **ports)
    assert process.stop() == 0
    assert "Traceback" not in process.stderr, process.stderr
