# shellcheck shell=bash
# Kafka Streams: the jars come from Maven, as the broker's do; StreamsCount.java is compiled against them.

readonly streams_version=3.9.1
readonly streams_home=$cache/kafka-streams-$streams_version
readonly streams_source=$repository/scripts/bench.d/StreamsCount.java

prepare_streams() {
  ensure_commands java:default-jre-headless javac:default-jdk-headless
  ensure_cached "kafka-streams-$streams_version" streams_fetch
  ensure_cached "$(streams_program)" streams_compile
}

streams_fetch() { fetch_jars "$1" "org.apache.kafka:kafka-streams:$streams_version"; }

# Another source is another program: its checksum is in its name.
streams_program() { echo "streams-count-$(sha256sum "$streams_source" | cut -c1-12)"; }

streams_compile() {
  javac -Xlint:all -d "$1" -cp "$streams_home/libs/*" "$streams_source" >&2 ||
    die "compile $streams_source: javac failed, see above"
}

# streams_command TOPIC APPLICATION RECORDS FOLDER: sets `streams`, a command.
# shellcheck disable=SC2034 # whoever sources this runs it
streams_command() {
  streams=(java -server -Xmx1g -XX:+UseG1GC -cp "$streams_home/libs/*:$cache/$(streams_program)"
    StreamsCount "$KAFKA_BROKERS" "$@")
}
