"""Configuration: one table of EMQ X keys, read from the file and the environment."""

from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.kinds import AccessRule, Endpoint, Kind, Network, Rate, RewriteRule, Threshold
from emqx_mgmt.settings.load import Settings, SettingsError, load, read
from emqx_mgmt.settings.zone import ZoneSettings

__all__ = [
    "AccessRule",
    "Endpoint",
    "Key",
    "Kind",
    "Network",
    "Rate",
    "RewriteRule",
    "Settings",
    "SettingsError",
    "Threshold",
    "ZoneSettings",
    "load",
    "read",
]
