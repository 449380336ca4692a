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

streams_fetch() {
  ensure_commands mvn:maven
  streams_pom >"$1/pom.xml"
  interruptible mvn --batch-mode --quiet --strict-checksums --file "$1/pom.xml" \
    dependency:copy-dependencies -DoutputDirectory="$1/libs" >"$1/mvn.log" 2>&1 || {
    cat "$1/mvn.log" >&2
    die "fetch Kafka Streams $streams_version: mvn failed, see above"
  }
}

streams_pom() {
  cat <<END
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>odometer</groupId>
  <artifactId>bench</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-streams</artifactId><version>$streams_version</version>
    </dependency>
  </dependencies>
</project>
END
}

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
