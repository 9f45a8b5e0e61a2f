# shellcheck shell=bash
# Read by the other scripts: pip into the system's Python, at the versions that the tests run with.
package=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# pip_install NAME...: the distribution's numpy stays, because its cv_bridge was compiled with it.
pip_install() {
  local name pin numpy pins=()
  for name; do
    pin=$(grep -m 1 "^$name==" "$package/requirements/constraints.txt") || pin=$name
    pins+=("$pin")
  done
  numpy=$(mktemp)
  python3 -c 'import numpy; print("numpy==" + numpy.__version__)' >"$numpy"
  # Ubuntu 24.04 and newer else refuse to add to the system's Python; here nothing else uses it.
  PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir --no-input -c "$numpy" "${pins[@]}"
  rm "$numpy"
}
