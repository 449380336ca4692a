# shellcheck shell=bash
# Servers as processes: started in a session of their own, known by (pid, start time), so that a
# pid that the system gave to another process is never taken for ours. `$dir` is the stack's folder.

# A server that gets its signal to stop has this long, in seconds, before it is killed.
readonly stop_grace=30

# identity PID: prints "PID START", START in clock ticks since boot; fails where it has ended. A process
# whose first thread is a zombie has not: until its other threads are gone, so are not its sockets.
identity() {
  local stat fields
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  # The second field, the name in brackets, may hold anything: the rest begins after its end.
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} != [ZX] ]] || ((fields[17] > 1)) || return 1
  echo "$1 ${fields[19]}"
}

recorded() { cat "$dir/$1/pid" 2>/dev/null; }

# still_runs IDENTITY
still_runs() { [[ $(identity "${1%% *}") == "$1" ]]; }

server_runs() {
  local record
  record=$(recorded "$1") && [[ -n $record ]] && still_runs "$record"
}

# launch NAME COMMAND...: the server records itself before it becomes COMMAND.
launch() {
  local name=$1
  shift
  rm -f "$dir/$name/pid"
  (
    close_inherited
    cd /
    identity "$BASHPID" >"$dir/$name/pid"
    exec setsid "$@"
  ) </dev/null >>"$dir/$name/log" 2>&1 &
  until [[ -s $dir/$name/pid ]] || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
}

# A server must not hold the stack's lock, nor a pipe on whose end somebody waits.
close_inherited() {
  local descriptor
  for descriptor in "/proc/$BASHPID/fd/"*; do
    descriptor=${descriptor##*/}
    ((descriptor <= 2)) || eval "exec $descriptor>&-"
  done
}

# signal SIGNAL IDENTITY...
signal() {
  local name=$1 process
  shift
  for process in "$@"; do
    if still_runs "$process"; then kill "-$name" "${process%% *}" 2>/dev/null || true; fi
  done
}

# gone_within SECONDS IDENTITY...
gone_within() {
  local deadline=$((SECONDS + $1)) process
  shift
  for process in "$@"; do
    while still_runs "$process"; do
      ((SECONDS < deadline)) || return 1
      sleep 0.05
    done
  done
}

# family IDENTITY: it and its children (Postgres has some), one a line.
family() {
  local pid=${1%% *} child children=()
  echo "$1"
  { read -ra children <"/proc/$pid/task/$pid/children"; } 2>/dev/null || true
  for child in "${children[@]}"; do identity "$child" || true; done
}

# stop_servers NAME...: asks all, then waits for each.
stop_servers() {
  local name
  for name in "$@"; do
    ! server_runs "$name" || request_stop "$name"
  done
  for name in "$@"; do await_stop "$name"; done
}

# A process that was suspended must wake to stop.
request_stop() {
  local record
  record=$(recorded "$1")
  signal "$("${1//-/_}_stop_signal")" "$record"
  signal CONT "$record"
}

await_stop() {
  local record
  record=$(recorded "$1") || return 0
  if ! gone_within "$stop_grace" "$record"; then
    log "$1 did not stop within $stop_grace s: kill it"
    kill_server "$1"
  fi
  rm -f "$dir/$1/pid"
}

# kill_server NAME: kill -9, and waits until nothing of it is left.
kill_server() {
  local record processes
  server_runs "$1" || return 0
  record=$(recorded "$1")
  mapfile -t processes < <(family "$record")
  signal KILL "${processes[@]}"
  gone_within "$stop_grace" "${processes[@]}" || die "kill $1: ${processes[*]} still runs"
  rm -f "$dir/$1/pid"
}
