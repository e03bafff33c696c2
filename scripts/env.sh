# Sourced by the other scripts: their --help, a private venv with penstock in it, and where logs and pid files go.
set -euo pipefail

# help: what a script is for is the comment at its top, written to be read by who asks it for --help
help() { sed -n '2,${ /^#/!q; s/^# \{0,1\}//p; }' "$0"; }

# answer_help WORD...: if one of the words of the command line asks for help, say it, and do nothing else
answer_help() {
  local word
  for word; do
    case $word in -h | --help) help; exit 0 ;; esac
  done
}

# wrong_use TEXT: exit code 2, with what is wrong and where help is
wrong_use() {
  echo "$(basename "$0"): $1; scripts/$(basename "$0") --help says what it takes" >&2
  exit 2
}

# takes_nothing WORD...: refuse whatever is there
takes_nothing() { [ $# = 0 ] || wrong_use "it takes no arguments, and was given '$*'"; }

export PENSTOCK_TOP; PENSTOCK_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PENSTOCK_RUN=${PENSTOCK_RUN:-$PENSTOCK_TOP/.run}
venv=${PENSTOCK_VENV:-$PENSTOCK_TOP/.venv}

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

# stamp: what this penstock is made of, as a number
stamp() { (cd "$PENSTOCK_TOP" && find pyproject.toml src -type f ! -name '*.pyc' -exec cksum {} + | sort | cksum); }

install_into_venv() {
  local extra=${1:-} stamp python
  [ "$(sed -n 2p "$venv/installed" 2>/dev/null)" = dev ] && extra=dev
  stamp=$(stamp)
  [ "$(cat "$venv/installed" 2>/dev/null)" = "$stamp"$'\n'"${extra:-plain}" ] && return
  python=$(find_python)
  echo "installing penstock into $venv" >&2
  rm -f "$venv/installed"
  [ -x "$venv/bin/python" ] || "$python" -P -m venv "$venv"
  "$venv/bin/python" -P -m pip install --quiet --disable-pip-version-check "$PENSTOCK_TOP${extra:+[$extra]}" ||
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
    mkdir -p "$PENSTOCK_RUN"
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

# born PID: when this process started, in the kernel's ticks since boot; nothing if there is none, or it has ended
born() {
  local stat
  stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 0
  read -ra stat <<< "${stat##*)}"
  [ "${stat[0]}" = Z ] || echo "${stat[19]}"
}

# runs NAME: whether the process of that pid file is still there. A number may be another's by now, so the file has
# the time at which its process started, too.
runs() {
  local pid= began=
  { read -r pid && read -r began; } 2> /dev/null < "$PENSTOCK_RUN/$1.pid" || true
  [ -n "$pid" ] && [ -n "$began" ] && [ "$(born "$pid")" = "$began" ]
}

pid_of() { sed -n 1p "$PENSTOCK_RUN/$1.pid"; }

# one_at_a_time: until this script ends, no other one starts or stops what is in this folder
one_at_a_time() {
  mkdir -p "$PENSTOCK_RUN"
  exec 8> "$PENSTOCK_RUN/.lock"
  flock 8
}

# refuse_second NAME: of these there is one
refuse_second() {
  runs "$1" || return 0
  echo "$1 runs already (pid $(pid_of "$1"), log $PENSTOCK_RUN/$1.log); scripts/stop ends it, and another folder in" \
    "PENSTOCK_RUN is for another pipeline" >&2
  exit 1
}

# start NAME COMMAND...: run it in the background with a log and a pid file, and wait until it says that it is up; the
# exit code is 2 if it was used wrongly, 1 if it did not come up
start() {
  local name=$1 log=$PENSTOCK_RUN/$1.log pid code=1
  shift
  (umask 077; rm -f "$log" "$PENSTOCK_RUN/$name.pid"; : > "$log"; : > "$PENSTOCK_RUN/$name.pid")  # the user's alone
  setsid "$@" >> "$log" 2>&1 < /dev/null 8>&- &
  pid=$!
  printf '%s\n%s\n' "$pid" "$(born "$pid")" > "$PENSTOCK_RUN/$name.pid"
  for _ in $(seq $((${PENSTOCK_START_TIME:-60} * 20))); do
    grep -q ' started: ' "$log" && { echo "$name: pid $pid, log $log"; return; }
    runs "$name" || break
    sleep 0.05
  done
  if runs "$name"; then
    kill -9 "$pid"
    echo "$name did not come up in ${PENSTOCK_START_TIME:-60} s, and was ended; its log is $log" >&2
  else
    wait "$pid" || code=$?
    [ $code = 2 ] || code=1
    echo "$name did not start: $(tail -n 1 "$log")" >&2
  fi
  rm -f "$PENSTOCK_RUN/$name.pid"
  return $code
}

# Tests of real processes that scripts/coverage measures beside the unit tests and the scenarios: they reach most of the
# rest in little time, and scripts/test does not run them a second time.
measured_processes=(tests/integration/test_{client_calls,cli_stations,slots,keys}.py tests/contract/test_queues.py)
