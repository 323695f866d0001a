// The Java producer and consumer with default settings. Verbs:
//   produce  BOOTSTRAP TOPIC FIRST COUNT [SETTING=VALUE ...]   values "value-FIRST" ...; prints {"acked":N,"partitions":{"0":[first,last]}}
//   consume  BOOTSTRAP TOPIC GROUP COUNT [SETTING=VALUE ...]   from the earliest or where the group stands; commits; prints {"read":N,"values":[...]}
// One line of JSON on standard output; anything that goes wrong ends with 1.

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

public final class Driver {
  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "produce": produce(args); break;
      case "consume": consume(args); break;
      default: throw new IllegalArgumentException(args[0]);
    }
  }

  static Properties settings(String[] args) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[1]);
    for (int i = 5; i < args.length; i++) {
      String[] pair = args[i].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    return settings;
  }

  static void produce(String[] args) throws Exception {
    Properties settings = settings(args);
    settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    int first = Integer.parseInt(args[3]);
    int count = Integer.parseInt(args[4]);
    List<Future<RecordMetadata>> answers = new ArrayList<>();
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
      for (int i = first; i < first + count; i++) {
        answers.add(producer.send(new ProducerRecord<>(args[2], "key-" + i, "value-" + i)));
      }
    }
    Map<Integer, long[]> ends = new TreeMap<>();
    for (Future<RecordMetadata> answer : answers) {
      RecordMetadata place = answer.get();
      long[] range = ends.computeIfAbsent(place.partition(), p -> new long[] {place.offset(), place.offset()});
      range[1] = place.offset();
    }
    StringBuilder partitions = new StringBuilder();
    ends.forEach((partition, range) -> {
      if (partitions.length() > 0) partitions.append(',');
      partitions.append('"').append(partition).append("\":[").append(range[0]).append(',').append(range[1]).append(']');
    });
    System.out.println("{\"acked\":" + answers.size() + ",\"partitions\":{" + partitions + "}}");
  }

  static void consume(String[] args) {
    Properties settings = settings(args);
    settings.put("group.id", args[3]);
    settings.put("auto.offset.reset", "earliest");
    settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    int count = Integer.parseInt(args[4]);
    settings.put("max.poll.records", Integer.toString(Math.min(count, 500)));
    List<String> values = new ArrayList<>();
    long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
      consumer.subscribe(List.of(args[2]));
      while (values.size() < count && System.nanoTime() < deadline) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
          values.add(record.value());
        }
      }
      consumer.commitSync();
    }
    System.out.println("{\"read\":" + values.size() + ",\"values\":[\"" + String.join("\",\"", values) + "\"]}");
    if (values.size() < count) System.exit(1);
  }
}
