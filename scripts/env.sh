# Sourced by the other scripts: a private venv with penstock in it, and where logs and pid files go.
set -euo pipefail
export PENSTOCK_TOP; PENSTOCK_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PENSTOCK_RUN=${PENSTOCK_RUN:-$PENSTOCK_TOP/.run}
venv=${PENSTOCK_VENV:-$PENSTOCK_TOP/.venv}
mkdir -p "$PENSTOCK_RUN"

find_python() {
  local name
  for name in ${PENSTOCK_PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$name" && return
  done
  echo "penstock needs Python 3.11 or newer with venv; set PENSTOCK_PYTHON to one" >&2
  return 1
}

# use_python VERSION: what follows is done with that Python, in a venv of its own
use_python() {
  PENSTOCK_PYTHON=$("$PENSTOCK_TOP/scripts/other-python" "$1")
  venv=$PENSTOCK_TOP/.venv-$1
  export PENSTOCK_PYTHON PENSTOCK_VENV=$venv
}

# make_venv [EXTRA]: install penstock as it is now into .venv, unless just that was done before
make_venv() {
  mkdir -p "$venv"
  { flock 9; install_into_venv "$@"; } 9> "$venv/.lock"
}

install_into_venv() {
  local extra=${1:-} stamp python
  [ "$(sed -n 2p "$venv/installed" 2>/dev/null)" = dev ] && extra=dev
  stamp=$(cd "$PENSTOCK_TOP" && find pyproject.toml src -type f ! -name '*.pyc' -exec cksum {} + | sort | cksum)
  [ "$(cat "$venv/installed" 2>/dev/null)" = "$stamp"$'\n'"${extra:-plain}" ] && return
  python=$(find_python)
  echo "installing penstock into $venv" >&2
  rm -f "$venv/installed"
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$PENSTOCK_TOP${extra:+[$extra]}" ||
    { echo "the installation failed; remove $venv and try again" >&2; return 1; }
  printf '%s\n%s\n' "$stamp" "${extra:-plain}" > "$venv/installed"
}

# install_missing PROGRAM[=PACKAGE]...: Debian's packages of these names, as root; elsewhere the tests against them are
# skipped, but never in CI
install_missing() {
  local wanted missing=()
  for wanted in "$@"; do
    PATH=$PATH:/usr/sbin command -v "${wanted%=*}" > /dev/null || missing+=("${wanted#*=}")
  done
  [ ${#missing[@]} = 0 ] && return
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing ${missing[*]}" >&2
    apt_install "${missing[@]}" > "$PENSTOCK_RUN/apt.log" 2>&1 && return
    tail -n 3 "$PENSTOCK_RUN/apt.log" >&2
  fi
  echo "not here: ${missing[*]}; install them, or the tests against them are skipped" >&2
  [ -z "${CI:-}" ]
}

apt_install() {
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$@")
  "${install[@]}" || { apt-get update -qq && "${install[@]}"; }
}

# runs NAME: whether the process of that pid file is there, and one of ours (a number may be another's by now)
runs() { grep -qa penstock "/proc/$(cat "$PENSTOCK_RUN/$1.pid" 2>/dev/null)/cmdline" 2>/dev/null; }

# start NAME COMMAND...: run it in the background with a log and a pid file; wait until it says that it is up
start() {
  local name=$1 log=$PENSTOCK_RUN/$1.log
  shift
  if runs "$name"; then
    echo "$name runs already (pid $(cat "$PENSTOCK_RUN/$name.pid")); scripts/stop ends it" >&2
    return 1
  fi
  : > "$log"
  setsid "$@" >> "$log" 2>&1 < /dev/null &
  echo $! > "$PENSTOCK_RUN/$name.pid"
  for _ in $(seq 300); do
    grep -q ' started: ' "$log" && { echo "$name: pid $!, log $log"; return; }
    kill -0 $! 2>/dev/null || break
    sleep 0.05
  done
  echo "$name did not start:" >&2
  tail -n 5 "$log" >&2
  rm -f "$PENSTOCK_RUN/$name.pid"
  return 1
}
