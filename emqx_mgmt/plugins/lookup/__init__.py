"""Asking a database or a service on behalf of a client: what the authentication plugins share."""

from emqx_mgmt.plugins.lookup.breaker import Breaker
from emqx_mgmt.plugins.lookup.memory import ExpiringMap, keyed_digest
from emqx_mgmt.plugins.lookup.pool import Pool, PoolExhausted
from emqx_mgmt.plugins.lookup.single_flight import LookupAbandoned, SingleFlight

__all__ = ["Breaker", "ExpiringMap", "LookupAbandoned", "Pool", "PoolExhausted", "SingleFlight", "keyed_digest"]
