"""The management functions behind the API: the nodes of a cluster, and the rows that they answer with."""

from emqx_mgmt.manage.cluster import Cluster

__all__ = ["Cluster"]
