"""A zone of the settings as the routing core reads it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from emqx_mgmt.settings import Settings
from router_ext.session.zone import Zone

LOWEST, HIGHEST = 0, 255
NEVER = 0xFFFFFFFF  # Session Expiry Interval: the session does not expire


def milliseconds(seconds: float) -> int:
    """In 32 bits: seven weeks stand for anything longer."""
    return min(int(seconds * 1000), (1 << 32) - 1)


def core_zone(settings: Settings, name: str) -> Zone:
    """The values in effect for the zone `name`."""
    return Zone(name, **core_values(settings, name))


def refresh(zone: Zone, settings: Settings) -> None:
    """Puts changed settings in effect for those who are in the zone already."""
    for key, value in core_values(settings, zone.name).items():
        setattr(zone, key, value)


def core_values(settings: Settings, name: str) -> dict[str, Any]:
    """The arguments of `Zone` for the zone `name`. Durations are in milliseconds, session expiry in seconds."""
    zone = settings.zone(name)
    priorities = {topic.encode(): priority for topic, priority in zone.mqueue_priorities.items()}
    limit, users_limit = zone.publish_limit, zone.publish_limit_per_user
    # Those that both records have; below, those that have another unit, form or name in the core.
    values = {field.name: getattr(zone, field.name) for field in fields(zone) if hasattr(Zone, field.name)}
    del values["name"]
    values.update(
        idle_timeout=milliseconds(zone.idle_timeout),
        retry_interval=milliseconds(zone.retry_interval),
        await_rel_timeout=milliseconds(zone.await_rel_timeout),
        session_expiry_interval=int(zone.session_expiry_interval),
        max_session_expiry=int(zone.max_session_expiry_interval) or NEVER,
        acl_nomatch_allow=zone.acl_nomatch == "allow",
        acl_deny_disconnect=zone.acl_deny_action == "disconnect",
        mqueue_priorities=priorities or None,
        mqueue_default_priority=HIGHEST if zone.mqueue_default_priority == "highest" else LOWEST,
        publish_limit_count=limit.count if limit else 0,
        publish_limit_period=milliseconds(limit.seconds) if limit else 0,
        publish_limit_per_user_count=users_limit.count if users_limit else 0,
        publish_limit_per_user_period=milliseconds(users_limit.seconds) if users_limit else 0,
        shutdown_count=zone.force_shutdown_policy.count,
        shutdown_bytes=zone.force_shutdown_policy.size,
        enable_flapping_detect=zone.enable_flapping_detect,
        flapping_count=zone.flapping_threshold.count,
        flapping_period=milliseconds(zone.flapping_threshold.seconds),
        flapping_ban=int(zone.flapping_banned_expiry_interval),
        enable_acl_cache=settings["enable_acl_cache"],
        acl_cache_max_size=settings["acl_cache_max_size"],
        acl_cache_ttl=milliseconds(settings["acl_cache_ttl"]),
    )
    return values
