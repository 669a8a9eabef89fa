package millrace.examples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Writes message requests to an ingest topic: --bootstrap, --registry, --topic, and --count N generated ones or
 * --requests FILE with one JSON object {"key": ..., "value": {...}} a line. Prints one JSON line a message.
 */
public final class Produce {
  private static final ObjectMapper JSON = new ObjectMapper();

  private record Message(String key, GenericRecord value) {}

  public static void main(String[] arguments) throws Exception {
    Options options = Options.of(arguments);
    String topic = options.required("topic");
    Framing.Registered registered = new Framing(options.required("registry")).latest(topic);

    Properties settings = new Properties();
    settings.put(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, options.required("bootstrap"));
    // Java's defaults since 3.0, said aloud: an acknowledged request is not lost, a retry writes it once. Its partitioner
    // is murmur2 for records with a key: leave it alone.
    settings.put(ProducerConfig.ACKS_CONFIG, "all");
    settings.put(ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, "true");
    settings.put(ProducerConfig.COMPRESSION_TYPE_CONFIG, options.get("compression", "none"));
    settings.put(ProducerConfig.LINGER_MS_CONFIG, "5");

    List<Message> messages =
        options.values().containsKey("requests")
            ? fromFile(Path.of(options.required("requests")), registered.schema())
            : generated(Integer.parseInt(options.get("count", "10")), options, registered.schema());

    try (KafkaProducer<String, byte[]> producer =
        new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
      List<Future<RecordMetadata>> written = new ArrayList<>();
      for (Message message : messages) {
        byte[] value = Framing.encode(registered, message.value());
        written.add(producer.send(new ProducerRecord<>(topic, message.key(), value)));
      }
      for (int i = 0; i < messages.size(); i++) {
        RecordMetadata place = written.get(i).get();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("messageId", messages.get(i).value().get("messageId").toString());
        line.put("key", messages.get(i).key());
        line.put("partition", place.partition());
        line.put("offset", place.offset());
        System.out.println(JSON.writeValueAsString(line));
      }
    }
  }

  private static List<Message> generated(int count, Options options, Schema schema) {
    List<Message> messages = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      String user = "user-" + i;
      GenericRecord recipient =
          new GenericRecordBuilder(schema.getField("recipient").schema())
              .set("userId", user)
              .set("phone", String.format("+86138%08d", i))
              .build();
      GenericRecord request =
          new GenericRecordBuilder(schema)
              .set("messageId", UUID.randomUUID().toString())
              .set("tenantId", options.get("tenant", "acme"))
              .set("businessLine", options.get("business-line", "promotions"))
              .set("attribute", options.get("attribute", "marketing"))
              .set("recipient", recipient)
              .set("templateId", options.get("template", "welcome"))
              .set("params", Map.of("name", "guest " + i))
              .set("channels", List.of())
              .set("createdAt", System.currentTimeMillis())
              .set("labels", Map.of("producer", "java"))
              .build();
      // The recipient as key keeps one person's messages in order.
      messages.add(new Message(user, request));
    }
    return messages;
  }

  private static List<Message> fromFile(Path file, Schema schema) throws Exception {
    List<Message> messages = new ArrayList<>();
    for (String line : Files.readAllLines(file)) {
      if (line.isBlank()) continue;
      JsonNode node = JSON.readTree(line);
      JsonNode key = node.get("key");
      messages.add(
          new Message(
              key == null || key.isNull() ? null : key.textValue(),
              (GenericRecord) convert(node.get("value"), schema)));
    }
    return messages;
  }

  /** Plain JSON to Avro: absent or null takes the field's default. */
  private static Object convert(JsonNode node, Schema schema) {
    switch (schema.getType()) {
      case UNION:
        return node == null || node.isNull() ? null : convert(node, schema.getTypes().get(1));
      case RECORD:
        GenericRecordBuilder builder = new GenericRecordBuilder(schema);
        for (Schema.Field field : schema.getFields()) {
          JsonNode value = node.get(field.name());
          if (value != null && !value.isNull()) builder.set(field, convert(value, field.schema()));
        }
        return builder.build();
      case ARRAY:
        List<Object> items = new GenericData.Array<>(node.size(), schema);
        for (JsonNode item : node) items.add(convert(item, schema.getElementType()));
        return items;
      case MAP:
        Map<String, Object> map = new LinkedHashMap<>();
        node.fields().forEachRemaining(e -> map.put(e.getKey(), convert(e.getValue(), schema.getValueType())));
        return map;
      case STRING:
        return node.textValue();
      case LONG:
        return node.longValue();
      case INT:
        return node.intValue();
      case DOUBLE:
        return node.doubleValue();
      case BOOLEAN:
        return node.booleanValue();
      default:
        throw new IllegalArgumentException("no conversion to " + schema.getType());
    }
  }
}
