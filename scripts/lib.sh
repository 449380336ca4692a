# shellcheck shell=bash
# What the scripts share: words for people, packages, ports, downloads, children.
# Sourced by scripts that set `set -euo pipefail` and `shopt -s inherit_errexit` themselves.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Downloads live outside the repository, so that a clean clone finds them again.
cache=$(realpath --canonicalize-missing "${ODOMETER_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/odometer}")

log() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# die WHAT [WHAT_TO_DO]
die() {
  log "error: $1"
  [[ -z ${2:-} ]] || log "hint: $2"
  exit 1
}

# --- Packages -----------------------------------------------------------------

# ensure_commands COMMAND:PACKAGE...: installs the Debian packages of the commands that are missing.
ensure_commands() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# ensure_libraries PKG_CONFIG_NAME:PACKAGE...: the same for libraries with headers.
ensure_libraries() {
  local pair missing=()
  for pair in "$@"; do
    pkg-config --exists "${pair%%:*}" || missing+=("${pair#*:}")
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# What `cargo build` needs beside Rust: librdkafka is built from source with cmake.
ensure_build_packages() {
  ensure_commands cc:build-essential c++:build-essential make:build-essential \
    cmake:cmake pkg-config:pkg-config
  ensure_libraries openssl:libssl-dev zlib:zlib1g-dev
  command -v cargo >/dev/null ||
    die "find cargo: not in PATH" "install Rust with rustup; rust-toolchain.toml names the version"
}

install_packages() {
  if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    die "missing packages (Debian's names): $*" "as root: apt-get install $*"
  fi
  log "install $*"
  update_package_lists
  apt_get install -y --no-install-recommends "$@" || die "install $*: apt-get failed, see above"
}

update_package_lists() {
  [[ -z ${package_lists_updated:-} ]] || return 0
  apt_get update || log "warning: apt-get update failed; going on with the lists that are here"
  package_lists_updated=1
}

# Another apt-get may be running: wait for its lock, at most 600 s. What fails is on standard error.
apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600 "$@" >/dev/null
}

# --- Ports --------------------------------------------------------------------

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: prints a port of 127.0.0.1 that nothing listens on. The next number is kept
# in a file: two stacks that start together get different ports before either listens.
# 20000 to 29999: above the well-known ones, below 32768, where outgoing connections begin.
free_port() (
  mkdir -p "$cache"
  exec {lock}>>"$cache/next-port"
  flock "$lock"
  port=$(<"$cache/next-port")
  port=${port:-$((20000 + RANDOM % 10000))}
  while port_in_use "$port"; do port=$((20000 + (port + 1) % 10000)); done
  echo "$((20000 + (port + 1) % 10000))" >"$cache/next-port"
  echo "$port"
)

# Stacks that this script starts get free ports, where the environment names none.
use_free_ports() {
  local name
  for name in KAFKA KAFKA_CONTROLLER CLICKHOUSE CLICKHOUSE_TCP CLICKHOUSE_2 CLICKHOUSE_2_TCP POSTGRES STRIPE_MOCK; do
    name=ODOMETER_${name}_PORT
    export "$name=${!name:-0}"
  done
}

# make_work_folder NAME: `$work`, which other users may pass, so that Postgres can live in it.
make_work_folder() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/odometer-$1.XXXXXX")
  chmod a+x "$work"
}

# --- Downloads ----------------------------------------------------------------

# ensure_cached NAME BUILD: where the cache has no folder NAME, runs `BUILD FOLDER` and renames
# FOLDER to NAME when it is whole. Two may ask at once (a lock); one may be interrupted (the rename).
ensure_cached() {
  local name=$1 build=$2 lock partial=$cache/$1.partial
  [[ ! -d $cache/$name ]] || return 0
  mkdir -p "$cache"
  exec {lock}>"$cache/$name.lock"
  flock "$lock"
  if [[ ! -d $cache/$name ]]; then
    log "fetch $name"
    rm -rf "$partial"
    mkdir "$partial"
    "$build" "$partial"
    mv "$partial" "$cache/$name"
  fi
  exec {lock}>&-
}

# --- A browser -------------------------------------------------------------------

# ensure_browser: a Chromium and what drives it, for the tests of the pages.
ensure_browser() {
  ensure_commands chromium:chromium node:nodejs npm:npm pdftotext:poppler-utils
  local lock=$repository/tests/browser/package-lock.json name
  name=browser-$(sha256sum "$lock" | cut -c 1-16)
  ensure_cached "$name" install_browser_modules
  export ODOMETER_BROWSER_MODULES=$cache/$name/node_modules
}

install_browser_modules() {
  cp "$repository"/tests/browser/package{,-lock}.json "$1"
  npm ci --prefix "$1" --ignore-scripts --no-audit --no-fund --loglevel error >&2
}

# --- Children and signals -----------------------------------------------------

# `trap` in bash waits for the command in the foreground. Long ones run through this, in a process
# group of their own, so that a script ends at once and ends them too (end_running).
running=
interruptible() {
  local status=0
  setsid env --default-signal=INT,QUIT "$@" &
  running=$!
  wait "$running" || status=$?
  running=
  return "$status"
}

end_running() {
  [[ -n $running ]] || return 0
  kill -TERM -- "-$running" 2>/dev/null || kill -TERM "$running" 2>/dev/null || true
  wait "$running" 2>/dev/null || true
  running=
}

# on_end FUNCTION: runs it once however the script ends, with no signal in between.
on_end() {
  # shellcheck disable=SC2064 # the function's name is meant to be expanded now
  trap "trap '' HUP INT TERM; $1" EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# --- Servers and the program --------------------------------------------------

# start_stack FOLDER OPTION...: servers of our own, whose addresses are exported from here on.
start_stack() {
  local folder=$1 name value
  shift
  interruptible scripts/stack start --dir "$folder" "$@" >"$work/servers"
  while IFS='=' read -r name value; do export "$name=$value"; done <"$work/servers"
}

# Where `cargo build --release` puts programs.
release_folder() {
  printf '%s/release\n' "$(cargo metadata --format-version 1 --no-deps --locked --offline | jq -r .target_directory)"
}

# fetch_jars FOLDER GROUP:ARTIFACT:VERSION...: them and what they need, from Maven, into FOLDER/libs.
fetch_jars() {
  local folder=$1
  shift
  ensure_commands mvn:maven
  jars_pom "$@" >"$folder/pom.xml"
  interruptible mvn --batch-mode --quiet --strict-checksums --file "$folder/pom.xml" \
    dependency:copy-dependencies -DoutputDirectory="$folder/libs" >"$folder/mvn.log" 2>&1 || {
    cat "$folder/mvn.log" >&2
    die "fetch $*: mvn failed, see above"
  }
}

jars_pom() {
  local jar group artifact version
  cat <<'END'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>odometer</groupId>
  <artifactId>jars</artifactId>
  <version>1</version>
  <dependencies>
END
  for jar in "$@"; do
    IFS=: read -r group artifact version <<<"$jar"
    echo "    <dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
  done
  printf '  </dependencies>\n</project>\n'
}
