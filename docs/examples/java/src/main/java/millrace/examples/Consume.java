package millrace.examples;

import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads what came back: --bootstrap, --registry, --topics feedback,refused, --count N (0: for ever), --group NAME. Prints
 * one JSON line a record: {"topic", "partition", "offset", "value"}.
 */
public final class Consume {
  public static void main(String[] arguments) throws Exception {
    Options options = Options.of(arguments);
    Framing framing = new Framing(options.required("registry"));
    long count = Long.parseLong(options.get("count", "0"));

    Properties settings = new Properties();
    settings.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, options.required("bootstrap"));
    settings.put(ConsumerConfig.GROUP_ID_CONFIG, options.get("group", "millrace-example-" + UUID.randomUUID()));
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    // Millrace writes in transactions: what was aborted never happened.
    settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
    // Commit by hand, after the effect: read again is better than lost. feedbackId tells repeats.
    settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, "false");

    try (KafkaConsumer<String, byte[]> consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(options.required("topics").split(",")));
      for (long seen = 0; count == 0 || seen < count; ) {
        for (ConsumerRecord<String, byte[]> one : consumer.poll(Duration.ofMillis(500))) {
          System.out.printf(
              "{\"topic\":\"%s\",\"partition\":%d,\"offset\":%d,\"value\":%s}%n",
              one.topic(), one.partition(), one.offset(), framing.decode(one.value()));
          seen++;
        }
        consumer.commitSync();
      }
    }
  }
}
