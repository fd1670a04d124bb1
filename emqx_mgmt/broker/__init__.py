"""The broker's policy: who may connect, what is subscribed, what becomes of sessions and wills."""

from emqx_mgmt.broker.broker import Broker

__all__ = ["Broker"]
