"""Watches the node and its machine, and raises alarms where resources run out."""

from emqx_mgmt.monitor.certificates import Certificates
from emqx_mgmt.monitor.lag import HubLag
from emqx_mgmt.monitor.monitor import Monitor, Watermark
from emqx_mgmt.monitor.recent import Recent
from emqx_mgmt.monitor.watermarks import watermarks

__all__ = ["Certificates", "HubLag", "Monitor", "Recent", "Watermark", "watermarks"]
