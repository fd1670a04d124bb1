"""The file of access rules."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.rows import AclRead


def reload_acl(cluster: Cluster) -> AclRead:
    return next(node.configuration.reload_acl() for node in cluster.running())


ENDPOINTS = (
    Endpoint("reload_acl", "POST", "/acl/reload", "Read the file of access rules again", reload_acl, listed=False),
)
