#!/usr/bin/env bash
# Install what fanet_ros needs: by rosdep what package.xml names, by pip what has no rosdep key.
#
# Usage: install_dependencies.sh [--tests]; --tests adds what `make test` needs of the system.
set -euo pipefail
# shellcheck source=docker/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

export DEBIAN_FRONTEND=noninteractive
tools=(python3-pip)
kinds=(--dependency-types=buildtool --dependency-types=build --dependency-types=exec)
if [[ ${1:-} == --tests ]]; then
  tools+=(cmake g++ git make python3-dev python3-venv)
  kinds+=(--dependency-types=test)
fi
apt-get update
apt-get install -y --no-install-recommends "${tools[@]}"
rosdep update --rosdistro "$ROS_DISTRO"
rosdep install --from-paths "$package" --ignore-src -y --rosdistro "$ROS_DISTRO" "${kinds[@]}"
rm -rf /var/lib/apt/lists/*
pip_install openvino safetensors
# Ubuntu 22.04 has older ones than the command fanet needs; pip leaves newer ones alone.
pip_install 'rich>=12' 'typer>=0.9'
