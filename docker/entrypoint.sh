#!/usr/bin/env bash
# Run a command with ROS 2 and fanet_ros at hand.
set -e

# shellcheck source=/dev/null
source "${ROS_SETUP:-/opt/ros/$ROS_DISTRO/setup.bash}"
# shellcheck source=/dev/null
source "${WORKSPACE_SETUP:-/workspace/install/setup.bash}"
exec "$@"
