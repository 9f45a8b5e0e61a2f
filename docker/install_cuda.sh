#!/usr/bin/env bash
# Install PyTorch for NVIDIA GPUs.
set -euo pipefail
# shellcheck source=docker/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

pip_install torch
