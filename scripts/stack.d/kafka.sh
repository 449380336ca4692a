# shellcheck shell=bash
# Kafka: one node, broker and controller in one (KRaft). The jars come from Maven.

readonly kafka_version=3.9.1
readonly kafka_home=$cache/kafka-$kafka_version

kafka_ports() { echo kafka=9092 kafka_controller=9093; }
kafka_line() { echo "KAFKA_BROKERS=127.0.0.1:$(port kafka)"; }
kafka_stop_signal() { echo TERM; }

kafka_prepare() {
  ensure_commands java:default-jre-headless
  ensure_cached "kafka-$kafka_version" kafka_fetch
  mkdir -p "$dir/kafka/data"
  kafka_properties >"$dir/kafka/server.properties"
  kafka_logging >"$dir/kafka/log4j.properties"
  [[ -f $dir/kafka/data/meta.properties ]] || kafka_format
}

kafka_fetch() {
  fetch_jars "$1" "org.apache.kafka:kafka_2.13:$kafka_version" "org.apache.kafka:kafka-tools:$kafka_version"
}

kafka_properties() {
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$(port kafka_controller)
listeners=PLAINTEXT://127.0.0.1:$(port kafka),CONTROLLER://127.0.0.1:$(port kafka_controller)
advertised.listeners=PLAINTEXT://127.0.0.1:$(port kafka)
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/kafka/data

# A topic that is misspelled must fail, not appear.
auto.create.topics.enable=false
# What a test wrote stays, whatever its event times say.
log.retention.ms=-1

# Groups form at once, and a test may let a member's session end after a second.
group.initial.rebalance.delay.ms=${ODOMETER_KAFKA_JOIN_MILLISECONDS:-0}
group.min.session.timeout.ms=1000

# One broker: one replica of everything, and few partitions to load.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4

# A broker that was killed registers again only when its old session has ended; it tries after
# 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 s, so 3 s and not the usual 9 make a restart 8 s shorter.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# Two cores, and a heap to match.
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=33554432
END
}

kafka_logging() {
  cat <<'END'
log4j.rootLogger=WARN, stdout
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.logger.kafka.server.BrokerServer=INFO
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %m (%c)%n
END
}

kafka_format() {
  local cluster
  # 16 bytes as base64 without its two signs: an id that begins with - would be taken for an option.
  cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | tr -d '=')
  interruptible java -Xmx128m -XX:TieredStopAtLevel=1 -cp "$kafka_home/libs/*" \
    "-Dlog4j.configuration=file:$dir/kafka/log4j.properties" kafka.tools.StorageTool \
    format --cluster-id "$cluster" --config "$dir/kafka/server.properties" >>"$dir/kafka/log" 2>&1 ||
    die "format Kafka's storage in $dir/kafka/data: see $dir/kafka/log"
}

kafka_launch() {
  local heap=${ODOMETER_KAFKA_HEAP:-768m}
  launch kafka java -server "-Xmx$heap" -Xms256m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
    "-Dlog4j.configuration=file:$dir/kafka/log4j.properties" -Dorg.xerial.snappy.tempdir="$dir/kafka" \
    -cp "$kafka_home/libs/*" kafka.Kafka "$dir/kafka/server.properties"
}

# Asks for metadata (version 1, no topics) and wants one live broker in the answer.
kafka_answers() {
  local answer
  # shellcheck disable=SC2016 # the inner shell expands it
  answer=$(timeout 10 bash -c '
    exec 3<>"/dev/tcp/127.0.0.1/$1"
    # length 14, key 3, version 1, correlation 1, no client id, an empty array
    printf "\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\0" >&3
    head -c 12 <&3 | od -An -v -tx1' - "$(port kafka)" 2>/dev/null | tr -d ' \n')
  # any length, correlation 1, one broker
  [[ $answer =~ ^.{8}0000000100000001$ ]]
}
