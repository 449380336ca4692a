# shellcheck shell=bash
# ClickHouse: the library that npm has, started as a server by clickhouse-server.c. A second one
# makes a cluster of two shards; each names both, so the ports of both are chosen with the first.

readonly clickhouse_version=26.7.3-stable.1
readonly clickhouse_package=@chdb/lib-linux-x64-gnu@$clickhouse_version
# Of the package's archive, as npm's `dist.integrity` gives it.
readonly clickhouse_sha512=XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==
readonly clickhouse_home=$cache/clickhouse-$clickhouse_version
readonly clickhouse_source=$repository/scripts/stack.d/clickhouse-server.c

clickhouse_ports() { echo clickhouse=8123 clickhouse_tcp=9000; }
clickhouse_line() { echo "CLICKHOUSE_URL=$(clickhouse_url clickhouse)"; }
clickhouse_stop_signal() { echo TERM; }
clickhouse_prepare() {
  if clickhouse_is_cluster && [[ -z $(port clickhouse_2_tcp) ]]; then choose_ports clickhouse-2; fi
  clickhouse_prepare_server clickhouse
}
clickhouse_launch() { clickhouse_launch_server clickhouse; }
clickhouse_answers() { clickhouse_server_answers clickhouse; }

clickhouse_2_ports() { echo clickhouse_2=8124 clickhouse_2_tcp=9001; }
clickhouse_2_line() { echo "CLICKHOUSE_2_URL=$(clickhouse_url clickhouse-2)"; }
clickhouse_2_stop_signal() { echo TERM; }
clickhouse_2_prepare() { clickhouse_prepare_server clickhouse-2; }
clickhouse_2_launch() { clickhouse_launch_server clickhouse-2; }
clickhouse_2_answers() { clickhouse_server_answers clickhouse-2; }

clickhouse_is_cluster() { [[ $(enabled) =~ (^|[[:space:]])clickhouse-2($|[[:space:]]) ]]; }
clickhouse_url() { echo "http://127.0.0.1:$(port "${1//-/_}")"; }

clickhouse_prepare_server() {
  ensure_commands curl:curl
  ensure_cached "clickhouse-$clickhouse_version" clickhouse_fetch
  ensure_cached "$(clickhouse_launcher)" clickhouse_compile
  mkdir -p "$dir/$1/data"
  clickhouse_config "$1" >"$dir/$1/config.xml"
}

clickhouse_fetch() {
  [[ $(uname -sm) == "Linux x86_64" ]] ||
    die "fetch ClickHouse: no library for $(uname -sm)" "point odometer's clickhouse.url at a server of your own"
  ensure_commands npm:npm
  interruptible npm pack --silent --pack-destination "$1" "$clickhouse_package" >/dev/null ||
    die "fetch ClickHouse $clickhouse_version: npm failed, see above"
  [[ $(sha512_base64 "$1"/*.tgz) == "$clickhouse_sha512" ]] ||
    die "fetch ClickHouse $clickhouse_version: its archive is not the expected one (sha512)"
  tar -xzf "$1"/*.tgz -C "$1" --strip-components=1 package/libchdb.so
  rm "$1"/*.tgz
}

sha512_base64() {
  local hex
  hex=$(sha512sum "$1" | cut -c1-128)
  # shellcheck disable=SC2001 # each pair of digits becomes \xNN
  printf %b "$(sed 's/../\\x&/g' <<<"$hex")" | base64 -w0
}

# Another source is another program: its checksum is in its name.
clickhouse_launcher() { echo "clickhouse-server-$(sha256sum "$clickhouse_source" | cut -c1-12)"; }

clickhouse_compile() {
  ensure_commands cc:build-essential
  cc -std=c11 -O2 -Wall -Wextra -pthread -o "$1/clickhouse-server" "$clickhouse_source" -ldl
}

clickhouse_config() {
  local ports=${1//-/_}
  cat <<END
<clickhouse>
  <listen_host>127.0.0.1</listen_host>
  <http_port>$(port "$ports")</http_port>
  <tcp_port>$(port "${ports}_tcp")</tcp_port>
  <path>$dir/$1/data</path>
  <max_server_memory_usage>${ODOMETER_CLICKHOUSE_MEMORY:-4294967296}</max_server_memory_usage>
  <mark_cache_size>268435456</mark_cache_size>
  <!-- Near a server's; the library would have 2, and let merges and mutations wait. -->
  <background_pool_size>16</background_pool_size>
  <background_schedule_pool_size>32</background_schedule_pool_size>
  <background_streaming_schedule_pool_size>8</background_streaming_schedule_pool_size>
  <logger>
    <log>$dir/$1/server.log</log>
    <size>100M</size>
    <count>2</count>
  </logger>
$(clickhouse_is_cluster && clickhouse_cluster || true)
</clickhouse>
END
}

# `odometer`, and `odometer_first`: what it was before its second server came.
clickhouse_cluster() {
  local first second
  first=$(clickhouse_shard clickhouse_tcp) second=$(clickhouse_shard clickhouse_2_tcp)
  cat <<END
  <remote_servers>
    <odometer>$first$second</odometer>
    <odometer_first>$first</odometer_first>
  </remote_servers>
END
}

clickhouse_shard() {
  echo "<shard><replica><host>127.0.0.1</host><port>$(port "$1")</port></replica></shard>"
}

clickhouse_launch_server() {
  launch "$1" "$cache/$(clickhouse_launcher)/clickhouse-server" \
    "$clickhouse_home/libchdb.so" "--config-file=$dir/$1/config.xml" --log-level=warning
}

clickhouse_server_answers() {
  [[ $(curl --silent --max-time 10 "$(clickhouse_url "$1")/?query=SELECT%201" 2>/dev/null) == 1 ]]
}
