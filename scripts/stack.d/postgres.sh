# shellcheck shell=bash
# Postgres: Debian's package. It refuses to run as root, so root hands it to the user `postgres`.

postgres_ports() { echo postgres=15432; }
postgres_url() { echo "postgres://postgres@127.0.0.1:$(port postgres)/postgres"; }
postgres_line() { echo "POSTGRES_URL=$(postgres_url)"; }
# Fast shutdown; SIGTERM would wait for every client to leave.
postgres_stop_signal() { echo INT; }

# The newest version's programs; Debian does not put them into PATH.
postgres_bin() {
  local found
  found=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
  [[ -x $found ]] && dirname "$found"
}

# The words before a command that make it run as the user that Postgres runs as.
postgres_user() {
  ((EUID != 0)) || echo setpriv --reuid=postgres --regid=postgres --init-groups
}

postgres_prepare() {
  postgres_bin >/dev/null || postgres_install
  mkdir -p "$dir/postgres"
  postgres_forget_killed
  [[ -f $dir/postgres/data/PG_VERSION ]] || postgres_initialize
}

# Postgres takes its own lock file for a running server as long as nobody has reaped the killed one.
postgres_forget_killed() {
  local lock=$dir/postgres/data/postmaster.pid
  [[ ! -f $lock ]] || identity "$(head -n 1 "$lock")" >/dev/null || rm "$lock"
}

# Debian's package would start a cluster of its own on port 5432.
postgres_install() {
  if ((EUID == 0)); then
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/odometer.conf
  fi
  install_packages postgresql
}

# initdb works in a folder beside, renamed when whole.
postgres_initialize() {
  local data=$dir/postgres/data
  rm -rf "$data.partial"
  mkdir "$data.partial"
  if ((EUID == 0)); then
    chown postgres: "$data.partial"
    chmod a+x "$dir" "$dir/postgres"
    $(postgres_user) test -x "$data.partial" ||
      die "start Postgres in $data: the user postgres may not enter it" \
        "choose a folder with --dir whose parents all users may pass (chmod a+x)"
  fi
  # shellcheck disable=SC2046 # several words
  interruptible env --chdir=/ $(postgres_user) "$(postgres_bin)/initdb" --pgdata="$data.partial" --username=postgres --auth=trust \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync >>"$dir/postgres/log" 2>&1 ||
    die "initialize Postgres in $data: see $dir/postgres/log"
  mv "$data.partial" "$data"
}

postgres_launch() {
  # shellcheck disable=SC2046 # several words
  launch postgres $(postgres_user) "$(postgres_bin)/postgres" -D "$dir/postgres/data" \
    -c listen_addresses=127.0.0.1 -c port="$(port postgres)" -c unix_socket_directories= \
    -c shared_buffers=32MB
}

postgres_answers() {
  [[ $(PGCONNECT_TIMEOUT=10 "$(postgres_bin)/psql" --no-psqlrc -Atc 'SELECT 1' "$(postgres_url)" 2>/dev/null) == 1 ]]
}
