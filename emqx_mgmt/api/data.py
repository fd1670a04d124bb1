"""Backups of all durable state, made and restored while the broker runs."""

from __future__ import annotations

from typing import IO

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done, Download
from emqx_mgmt.manage import Cluster


def export_data(cluster: Cluster) -> Download:
    return Download(cluster.local.backups.make())


def import_data(cluster: Cluster, upload: IO[bytes]) -> Done:
    cluster.local.backups.restore(upload)
    return Done()


ENDPOINTS = (
    Endpoint("export_data", "POST", "/data/export", "Make a backup of everything durable", export_data, listed=False),
    Endpoint("import_data", "POST", "/data/import",
             "Replace everything durable with a backup; a new worker starts with it", import_data, listed=False,
             upload=True),
)
