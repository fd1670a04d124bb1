"""Running traces: a list with their owners, and ending one."""

from __future__ import annotations

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import Unknown
from emqx_mgmt.manage.rows import TraceRow


def list_traces(cluster: Cluster) -> list[TraceRow]:
    return [row for node in cluster.running() for row in node.traces()]


def stop_trace(cluster: Cluster, trace: str) -> Done:
    if not any(node.stop_trace(trace) for node in cluster.running()):
        raise Unknown(trace)
    return Done()


ENDPOINTS = (
    Endpoint("list_traces", "GET", "/traces/", "The traces that run", list_traces, listed=False),
    Endpoint("stop_trace", "DELETE", "/traces/:trace", "End a trace", stop_trace, listed=False),
)
