"""What survives a restart: management records in SQLite, below `node.data_dir`."""

from emqx_mgmt.storage.applications import Application, Applications
from emqx_mgmt.storage.bans import Bans
from emqx_mgmt.storage.config_changes import ConfigChanges
from emqx_mgmt.storage.data_dir import DataDirError, DataDirLock
from emqx_mgmt.storage.logins import BrowserLogins, Login
from emqx_mgmt.storage.metered_topics import MeteredTopics
from emqx_mgmt.storage.schema import migrate
from emqx_mgmt.storage.scram_users import ScramUser, ScramUsers
from emqx_mgmt.storage.store import Store, StoreUnusable
from emqx_mgmt.storage.users import PUBLIC_PASSWORD, FirstPassword, LastAdministrator, User, Users

__all__ = [
    "PUBLIC_PASSWORD",
    "Application",
    "Applications",
    "Bans",
    "BrowserLogins",
    "ConfigChanges",
    "DataDirError",
    "DataDirLock",
    "FirstPassword",
    "LastAdministrator",
    "Login",
    "MeteredTopics",
    "ScramUser",
    "ScramUsers",
    "Store",
    "StoreUnusable",
    "User",
    "Users",
    "migrate",
]
