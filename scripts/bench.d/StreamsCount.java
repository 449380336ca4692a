import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * StreamsCount BROKERS TOPIC APPLICATION RECORDS FOLDER: calls per organization, region and hour with Kafka
 * Streams, in memory, with a changelog, as a careful user would write it: a processor without a
 * repartition, a streaming JSON parser, four fields read and the others skipped. It forgets no
 * duplicate, since it knows of none. Says `begin` at the first record and `end RECORDS -` at the
 * last.
 */
public final class StreamsCount {
  private static final JsonFactory JSON = new JsonFactory();
  private static final AtomicBoolean begun = new AtomicBoolean();
  private static final AtomicLong left = new AtomicLong();
  private static final CountDownLatch done = new CountDownLatch(1);

  public static void main(String[] arguments) throws Exception {
    long records = Long.parseLong(arguments[3]);
    left.set(records);
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[2]);
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
    // As often as odometer publishes.
    properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    properties.put("auto.offset.reset", "earliest");
    properties.put("isolation.level", "read_committed");
    properties.put("max.poll.records", 2000);

    Topology topology = new Topology();
    topology.addSource("events", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), arguments[1]);
    topology.addProcessor("count", Count::new, "events");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("calls"), Serdes.String(), Serdes.Long())
            .withCachingEnabled()
            .withLoggingEnabled(java.util.Map.of()),
        "count");
    try (KafkaStreams streams = new KafkaStreams(topology, properties)) {
      streams.setUncaughtExceptionHandler(error -> {
        error.printStackTrace();
        Runtime.getRuntime().halt(1);
        return null;
      });
      streams.start();
      if (!done.await(300, TimeUnit.SECONDS)) {
        throw new IllegalStateException("not at the end after 300 s: " + left.get() + " records are left");
      }
      System.out.println("end " + records + " -");
    }
  }

  private static final class Count implements Processor<byte[], byte[], Void, Void> {
    private KeyValueStore<String, Long> calls;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      calls = context.getStateStore("calls");
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      if (!begun.get() && begun.compareAndSet(false, true)) {
        System.out.println("begin");
      }
      try (JsonParser json = JSON.createParser(record.value())) {
        boolean isArray = json.nextToken() == JsonToken.START_ARRAY;
        JsonToken token = isArray ? json.nextToken() : json.currentToken();
        while (token == JsonToken.START_OBJECT) {
          count(json, record);
          token = json.nextToken();
        }
      } catch (IOException malformed) {
        throw new IllegalArgumentException("read a record", malformed);
      }
      if (left.decrementAndGet() == 0) {
        done.countDown();
      }
    }

    private void count(JsonParser json, Record<byte[], byte[]> record) throws IOException {
      String organization = null, type = null, time = null, region = null;
      long quantity = 1;
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String name = json.currentName();
        JsonToken value = json.nextToken();
        switch (name) {
          case "subject": organization = json.getText(); break;
          case "type": type = json.getText(); break;
          case "time": time = json.getText(); break;
          case "region": region = json.getText(); break;
          case "quantity": quantity = (long) json.getDoubleValue(); break;
          case "data":
            while (json.nextToken() == JsonToken.FIELD_NAME) {
              String inner = json.currentName();
              json.nextToken();
              if (inner.equals("region")) region = json.getText();
              else if (inner.equals("quantity")) quantity = (long) json.getDoubleValue();
              else json.skipChildren();
            }
            break;
          default:
            if (value.isStructStart()) json.skipChildren();
        }
      }
      if (organization == null) {
        // Binary mode: the value is the data alone.
        organization = header(record, "ce_subject");
        type = header(record, "ce_type");
        time = header(record, "ce_time");
      }
      if (!"api.request".equals(type) && !"kong.api_request".equals(type)) return;
      String hour = time.endsWith("Z")
          ? time.substring(0, 13)
          : OffsetDateTime.parse(time).toInstant().toString().substring(0, 13);
      String key = organization + ' ' + (region == null ? "us" : region) + ' ' + hour;
      Long before = calls.get(key);
      calls.put(key, before == null ? quantity : before + quantity);
    }

    private static String header(Record<byte[], byte[]> record, String name) {
      Header header = record.headers().lastHeader(name);
      return header == null ? null : new String(header.value(), StandardCharsets.UTF_8);
    }
  }

  private StreamsCount() {}
}
