package millrace.examples;

import java.util.HashMap;
import java.util.Map;

/** --name value pairs. */
record Options(Map<String, String> values) {
  static Options of(String[] arguments) {
    Map<String, String> values = new HashMap<>();
    for (int i = 0; i + 1 < arguments.length; i += 2) values.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
    return new Options(values);
  }

  String required(String name) {
    String value = values.get(name);
    if (value == null) throw new IllegalArgumentException("--" + name + " is missing");
    return value;
  }

  String get(String name, String otherwise) {
    return values.getOrDefault(name, otherwise);
  }
}
