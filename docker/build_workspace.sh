#!/usr/bin/env bash
# Build fanet_ros in the workspace that the working directory is; the sources are in src/.
set -eo pipefail # not -u: the setup files of ROS 2 read variables that nobody has set

# shellcheck source=/dev/null
source "${ROS_SETUP:-/opt/ros/$ROS_DISTRO/setup.bash}"
colcon build --packages-select fanet_ros --event-handlers console_direct+ --cmake-args -DBUILD_TESTING=OFF
