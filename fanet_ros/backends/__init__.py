"""The backends that can run the network: `create_backend` chooses among them. Importing this imports no framework."""

from fanet_ros.backends.base import Backend, BackendInfo, Progress
from fanet_ros.backends.choice import backend_class, create_backend

__all__ = ["Backend", "BackendInfo", "Progress", "backend_class", "create_backend"]
