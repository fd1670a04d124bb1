"""Every setting of the broker that is in effect, and where it comes from."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.manage import Cluster
from emqx_mgmt.settings.in_effect import Setting


def list_settings(cluster: Cluster) -> list[Setting]:
    return cluster.local.configuration.settings()


ENDPOINTS = (
    Endpoint("list_settings", "GET", "/settings/", "The settings in effect, and where each value comes from",
             list_settings, listed=False),
)
