"""Real-time semantic segmentation of camera images with FANet, for ROS 2 and for plain Python."""

import pkgutil

# The generated fanet_ros.msg is installed in the workspace, this code may run from the source tree:
# both are portions of one package.
__path__ = pkgutil.extend_path(__path__, __name__)
