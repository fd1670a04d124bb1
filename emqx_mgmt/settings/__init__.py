"""Configuration: one table of EMQ X keys, read from the file and the environment."""

from emqx_mgmt.settings.kinds import Endpoint, Kind, Rate, Threshold
from emqx_mgmt.settings.load import Settings, SettingsError, load
from emqx_mgmt.settings.table import Key
from emqx_mgmt.settings.zone import Zone

__all__ = ["Endpoint", "Key", "Kind", "Rate", "Settings", "SettingsError", "Threshold", "Zone", "load"]
