"""What an operator may ask of a cluster: which node answers, and the rows it answers with."""

from emqx_mgmt.manage.cluster import Cluster

__all__ = ["Cluster"]
