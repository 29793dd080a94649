import com.influxdb.v3.client.InfluxDBClient;
import com.influxdb.v3.client.Point;
import com.influxdb.v3.client.config.ClientConfig;
import com.influxdb.v3.client.write.WritePrecision;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Checks a server with the Java client of InfluxDB 3: every type, nulls, names and values in Unicode, and many rows,
 * written over HTTP and read back over Flight. Arguments: http://host:port rows; the token is in OCHRE_TOKEN.
 */
public final class Check {
  private static final long START = 1_700_000_000_000_000_000L;
  private static final int BATCH = 10_000;
  private static final String TEXT = "a,b c=d \"quoted\" back\\slash ß é 漢字 🎉";
  private static final String PLACE = "Zürich, Süd=1 🏔";
  private static final String TABLE = "mérés, 測定 1";
  private static final String TAG = "hely =, ég";
  private static final String FIELD = "hő, °C = 🌡";
  private static final Duration PATIENCE = Duration.ofMinutes(10);

  private final String host;
  private final String token = System.getenv("OCHRE_TOKEN");
  private final int rows;

  private Check(String host, int rows) {
    this.host = host;
    this.rows = rows;
  }

  private interface Case {
    String run() throws Exception;
  }

  private InfluxDBClient connect(String database) {
    return connect(database, token == null ? "no-token-is-needed" : token);
  }

  private InfluxDBClient connect(String database, String secret) {
    return InfluxDBClient.getInstance(new ClientConfig.Builder().host(host).token(secret.toCharArray())
        .database(database).writeTimeout(PATIENCE).queryTimeout(PATIENCE).build());
  }

  private static void equal(Object got, Object want) {
    if (!Objects.equals(got, want)) {
      throw new AssertionError("got " + got + ", expected " + want);
    }
  }

  /** All rows of an answer, without what is null. */
  private static List<Map<String, Object>> read(InfluxDBClient client, String sql) {
    List<Map<String, Object>> found = new ArrayList<>();
    try (Stream<Map<String, Object>> answer = client.queryRows(sql)) {
      answer.forEach(row -> {
        Map<String, Object> kept = new TreeMap<>(row);
        kept.values().removeIf(Objects::isNull);
        found.add(kept);
      });
    }
    return found;
  }

  private static Map<String, Object> row(Object... pairs) {
    Map<String, Object> row = new TreeMap<>();
    for (int at = 0; at < pairs.length; at += 2) {
      row.put((String) pairs[at], pairs[at + 1]);
    }
    return row;
  }

  private static List<Map<String, Object>> typed() {
    List<Map<String, Object>> rows = List.of(
        row("place", PLACE, "f", 1.5, "i", 0L, "b", true, "s", TEXT),
        row("place", PLACE, "f", Double.MAX_VALUE, "i", Long.MAX_VALUE, "b", false, "s", ""),
        row("place", PLACE, "f", Double.MIN_VALUE, "i", Long.MIN_VALUE, "b", true, "s", "漢"),
        row("place", "alone", "f", -0.1),
        row("i", (1L << 53) + 1),
        row("place", "alone", "b", false),
        row("s", "x".repeat(10_000)));
    for (int at = 0; at < rows.size(); at++) {
      rows.get(at).put("ns", START + at);
    }
    return rows;
  }

  private String everyTypeAndNull() throws Exception {
    List<Point> points = new ArrayList<>();
    for (Map<String, Object> row : typed()) {
      Point point = Point.measurement("typed").setTimestamp((Long) row.get("ns"), WritePrecision.NS);
      row.forEach((name, value) -> {
        switch (name) {
          case "place" -> point.setTag(name, (String) value);
          case "f" -> point.setFloatField(name, (Double) value);
          case "i" -> point.setIntegerField(name, (Long) value);
          case "b" -> point.setBooleanField(name, (Boolean) value);
          case "s" -> point.setStringField(name, (String) value);
          default -> { }
        }
      });
      points.add(point);
    }
    try (InfluxDBClient client = connect("java_types")) {
      client.writePoints(points);
      equal(read(client, "SELECT place, f, i, b, s, CAST(time AS BIGINT) AS ns FROM typed ORDER BY time"), typed());
    }
    return typed().size() + " rows";
  }

  private String unsigned() throws Exception {
    try (InfluxDBClient client = connect("java_unsigned")) {
      // The client has no unsigned integers of its own to write.
      client.writeRecord("t u=18446744073709551615u 1");
      // A column that is computed has no metadata to type it by; its text is the client's own kind of text.
      equal(read(client, "SELECT CAST(u AS VARCHAR) AS u FROM t").get(0).get("u").toString(), "18446744073709551615");
      Number got = (Number) read(client, "SELECT u FROM t").get(0).get("u");
      equal(got.longValue(), -1L);
    }
    return "all 64 bits";
  }

  private String tagsAndFields() throws Exception {
    try (InfluxDBClient client = connect("java_types");
        var answer = client.queryPoints("SELECT * FROM typed ORDER BY time LIMIT 1")) {
      var point = answer.findFirst().orElseThrow();
      equal(point.getTag("place"), PLACE);
      equal(List.of(point.getTagNames()), List.of("place"));
      equal(point.getFloatField("f"), 1.5);
      equal(point.getIntegerField("i"), 0L);
      equal(point.getBooleanField("b"), true);
      equal(point.getStringField("s"), TEXT);
      equal(point.getTimestamp().longValue(), START);
    }
    return "by metadata";
  }

  private String unicodeNames() throws Exception {
    try (InfluxDBClient client = connect("java_names")) {
      client.writePoint(Point.measurement(TABLE).setTag(TAG, PLACE).setStringField(FIELD, TEXT)
          .setTimestamp(Instant.ofEpochSecond(0, START)));
      var got = read(client, "SELECT \"" + TAG + "\", \"" + FIELD + "\", CAST(time AS BIGINT) AS ns FROM \"" + TABLE + "\"");
      equal(got, List.of(row(TAG, PLACE, FIELD, TEXT, "ns", START)));
    }
    return "a table, a tag and a field";
  }

  private static void refused(Case action, String... words) {
    String said;
    try {
      action.run();
      said = null;
    } catch (Exception error) {
      StringBuilder all = new StringBuilder();
      for (Throwable cause = error; cause != null; cause = cause.getCause()) {
        all.append(cause).append('\n');
      }
      said = all.toString();
    }
    for (String word : words) {
      if (said == null || !said.contains(word)) {
        throw new AssertionError("should have been refused with " + word + ": " + said);
      }
    }
  }

  private String parametersAndErrors() throws Exception {
    try (InfluxDBClient client = connect("java_types")) {
      try (var answer = client.query("SELECT count(*) AS n FROM typed WHERE place = $place", Map.of("place", "alone"))) {
        equal(((Number) answer.findFirst().orElseThrow()[0]).longValue(), 2L);
      }
      refused(() -> { client.writeRecord("cpu v=x 1"); return ""; }, "400");
      refused(() -> read(client, "SELECT nothing FROM typed").toString(), "nothing");
    }
    if (token == null) {
      return "a bad line, a bad query";
    }
    try (InfluxDBClient stranger = connect("java_types", "wrong".repeat(8))) {
      refused(() -> read(stranger, "SELECT 1").toString(), "UNAUTHENTICATED");
    }
    return "a bad line, a bad query, a wrong token";
  }

  private String manyRows() throws Exception {
    try (InfluxDBClient client = connect("java_large")) {
      for (int from = 0; from < rows; from += BATCH) {
        List<String> lines = new ArrayList<>();
        for (int at = from; at < Math.min(from + BATCH, rows); at++) {
          lines.add("large,host=höst-" + at % 100 + " n=" + at + "i,x=" + at * 0.5 + ",s=\"row " + at + "\" "
              + (START + at * 1_000_000L));
        }
        client.writeRecords(lines);
      }
      int[] seen = {0};
      try (var answer = client.query("SELECT host, n, x, s, CAST(time AS BIGINT) AS ns FROM large ORDER BY time")) {
        answer.forEach(row -> {
          int at = seen[0]++;
          equal(List.of(row), List.of("höst-" + at % 100, (long) at, at * 0.5, "row " + at, START + at * 1_000_000L));
        });
      }
      equal(seen[0], rows);
    }
    return rows + " rows";
  }

  public static void main(String[] arguments) {
    if (arguments.length != 2) {
      System.err.println("arguments: http://host:port rows");
      System.exit(2);
    }
    Check check = new Check(arguments[0], Integer.parseInt(arguments[1]));
    Map<String, Case> cases = new java.util.LinkedHashMap<>();
    cases.put("every type and null", check::everyTypeAndNull);
    cases.put("unsigned integers", check::unsigned);
    cases.put("tags and fields", check::tagsAndFields);
    cases.put("unicode names", check::unicodeNames);
    cases.put("parameters and errors", check::parametersAndErrors);
    cases.put("many rows", check::manyRows);
    boolean failed = false;
    for (var one : cases.entrySet()) {
      long begun = System.nanoTime();
      try {
        String said = one.getValue().run();
        System.out.printf("ok     java %s: %s (%.1f s)%n", one.getKey(), said, (System.nanoTime() - begun) / 1e9);
      } catch (Throwable error) {
        failed = true;
        System.out.println("FAILED java " + one.getKey());
        error.printStackTrace(System.out);
      }
    }
    System.exit(failed ? 1 : 0);
  }
}
