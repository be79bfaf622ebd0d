"""The hub's spawner in a cluster. A module of its own: a laptop has no KubeSpawner."""

from kirzl_lab.hub.spawner import LabServer
from kirzl_lab.spawning.cluster import ClusterSpawner


class ClusterHubSpawner(LabServer, ClusterSpawner):
    """A server of the lab as a pod."""
