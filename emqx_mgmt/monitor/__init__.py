"""Watches the node and its machine, and raises alarms when something runs out."""

from emqx_mgmt.monitor.certificates import Certificates
from emqx_mgmt.monitor.lag import HubLag
from emqx_mgmt.monitor.monitor import Monitor, Watch
from emqx_mgmt.monitor.recent import Recent
from emqx_mgmt.monitor.watches import watches

__all__ = ["Certificates", "HubLag", "Monitor", "Recent", "Watch", "watches"]
