"""Keys of EMQ X 3.0's etc/emqx.conf that have no meaning in this broker. They are accepted, so that its file can be
used unchanged.

The list has only keys whose absence admits no client and allows no access. A key that restricts something, and that
this broker does not have, is reported as unknown.
"""

from __future__ import annotations

import re

# Keys of the Erlang VM, of clusters and of bridges: everything below these prefixes.
FAMILIES = ("bridge.", "cluster.", "os_mon.", "rpc.", "sysmon.", "vm_mon.")
NODE = """
    async_threads cookie crash_dump dist_buffer_size dist_listen_max dist_listen_min dist_net_ticktime fullsweep_after
    global_gc_interval heartbeat max_ets_tables max_ports process_limit proto_dist smp ssl_dist_optfile
"""
LOG = """
    chars_limit dir drop_mode_qlen file flush_qlen overload_kill overload_kill_mem_size overload_kill_qlen
    overload_kill_restart_after rotation rotation.count rotation.size sync_mode_qlen to
    debug.file info.file notice.file warning.file error.file critical.file alert.file emergency.file
"""
BROKER = "enable_session_registry route_batch_clean session_locking_strategy sys_heartbeat"
LISTENER = """
    active_n buffer compress depth dhfile high_watermark idle_timeout nodelay proxy_protocol_timeout psk_ciphers
    rate_limit recbuf reuseaddr secure_renegotiate send_timeout send_timeout_close sndbuf tune_buffer
    verify_protocol_header
"""
ZONE = "flapping_expiry_interval mqueue_type"
OTHERS = "flapping_clean_interval mqtt.mqueue_type plugins.expand_plugins_dir plugins.loaded_file"

EXACT = {
    *(f"node.{name}" for name in NODE.split()),
    *(f"log.{name}" for name in LOG.split()),
    *(f"broker.{name}" for name in BROKER.split()),
    *OTHERS.split(),
}
PATTERN = re.compile(
    rf"listener\.(tcp|ssl|ws|wss)\.[a-z0-9_]+\.({'|'.join(LISTENER.split())}|deflate_opts\.[a-z_]+)"
    rf"|zone\.[a-z0-9_]+\.({'|'.join(ZONE.split())})"
)
# The key of this broker that does what a key of EMQ X does.
INSTEAD = {
    "flapping_expiry_interval": "flapping_banned_expiry_interval of the zone",
    "os_mon.cpu_high_watermark": "monitor.cpu_high_watermark",
    "os_mon.cpu_low_watermark": "monitor.cpu_low_watermark",
    "os_mon.sysmem_high_watermark": "monitor.sysmem_high_watermark",
    "plugins.loaded_file": "plugins.loaded",
    "proxy_protocol_timeout": "handshake_timeout",
    "rate_limit": "publish_limit of the zone",
}


def has_no_meaning(key: str) -> bool:
    """Whether it is a key of EMQ X that this broker ignores."""
    return key in EXACT or key.startswith(FAMILIES) or PATTERN.fullmatch(key) is not None


def shown(key: str) -> str:
    """The key, with the one to be used instead where there is such a key."""
    instead = INSTEAD.get(key) or INSTEAD.get(key.rpartition(".")[2])
    return f"{key} (here {instead})" if instead else key
