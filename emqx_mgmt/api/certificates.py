"""The certificates of listeners."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import CertificateRow


def list_certificates(cluster: Cluster) -> list[CertificateRow]:
    return [row for node in cluster.running() for row in node.certificates()]


def reload_certificates(cluster: Cluster) -> Done:
    for node in cluster.running():
        node.reload_certificates()
    return Done()


ENDPOINTS = (
    Endpoint("list_certificates", "GET", "/certificates/", "The certificates of listeners, and when they expire",
             list_certificates, listed=False),
    Endpoint("reload_certificates", "POST", "/certificates/reload",
             "Read certificates, keys and lists of revoked ones again; nobody is disconnected", reload_certificates,
             listed=False),
)
