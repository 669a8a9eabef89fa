package millrace.examples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Confluent's wire format around Avro, by hand: a zero byte, the schema id (4 bytes, big-endian), the record. Confluent's
 * KafkaAvroSerializer does the same, where you have it: set auto.register.schemas=false and use.latest.version=true.
 */
final class Framing {
  record Registered(int id, Schema schema) {}

  private static final ObjectMapper JSON = new ObjectMapper();

  private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
  private final Map<Integer, Schema> byId = new HashMap<>();
  private final String registry;

  Framing(String registry) {
    this.registry = registry.replaceAll("/+$", "");
  }

  /** Id and schema of a topic's values. Reads only: registering is the operator's. */
  Registered latest(String topic) throws IOException, InterruptedException {
    String subject = URLEncoder.encode(topic + "-value", StandardCharsets.UTF_8);
    JsonNode answer = get("/subjects/" + subject + "/versions/latest");
    return new Registered(answer.get("id").intValue(), parse(answer.get("schema").textValue()));
  }

  static byte[] encode(Registered registered, GenericRecord record) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(0);
    out.write(ByteBuffer.allocate(4).putInt(registered.id()).array());
    BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
    new GenericDatumWriter<GenericRecord>(registered.schema()).write(record, encoder);
    encoder.flush();
    return out.toByteArray();
  }

  /** The record in its writer's schema: fields that you do not know yet may appear. */
  GenericRecord decode(byte[] value) throws IOException, InterruptedException {
    ByteBuffer frame = ByteBuffer.wrap(value);
    if (value.length < 5 || frame.get() != 0) throw new IOException("not in the Confluent wire format");
    Schema writer = schema(frame.getInt());
    return new GenericDatumReader<GenericRecord>(writer)
        .read(null, DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null));
  }

  private Schema schema(int id) throws IOException, InterruptedException {
    Schema known = byId.get(id);
    if (known != null) return known;
    Schema fetched = parse(get("/schemas/ids/" + id).get("schema").textValue());
    byId.put(id, fetched);
    return fetched;
  }

  private static Schema parse(String text) {
    return new Schema.Parser().parse(text);
  }

  private JsonNode get(String path) throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(registry + path)).timeout(Duration.ofSeconds(10)).build();
    HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
    if (answer.statusCode() != 200)
      throw new IOException("schema registry: " + path + ": " + answer.statusCode() + " " + answer.body());
    return JSON.readTree(answer.body());
  }
}
