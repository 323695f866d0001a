// The Java producer and consumer under the contract of tests/clients/README.md: settings that no key names are the client's defaults.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.utils.AppInfoParser;

public final class Driver {
  static final Map<String, String> DEFAULTS = Map.of(
      "features", "",
      "produce", "bootstrap= topic= first=0 count=0 codec=none acks=all idempotent=false partition=-1 value_bytes=0 rate_per_s=0",
      "consume", "bootstrap= topics= pattern= assign= group= instance= assignor= from=earliest session_ms=10000 heartbeat_ms=1000"
          + " metadata_max_age_ms=2000 commit=auto max=0 client_id=");

  public static void main(String[] args) {
    String verb = args.length > 0 ? args[0] : "";
    if (!DEFAULTS.containsKey(verb)) refuse("a verb: features, produce or consume");
    Map<String, String> keys = new HashMap<>();
    for (String pair : DEFAULTS.get(verb).split(" ")) keys.put(pair.split("=", 2)[0], pair.substring(pair.indexOf('=') + 1));
    for (String pair : Arrays.asList(args).subList(1, args.length)) {
      String[] parts = pair.split("=", 2);
      if (parts.length < 2 || keys.replace(parts[0], parts[1]) == null) refuse("unknown key " + parts[0]);
    }
    try {
      if (verb.equals("produce")) produce(keys);
      else if (verb.equals("consume")) new Reader(keys).run();
      else emit("{\"event\":\"features\",\"client\":\"java\",\"version\":" + quoted(AppInfoParser.getVersion()) + ",\"lacks\":{}}");
    } catch (Exception error) {
      failed(error, true);
      System.exit(1);
    }
    System.exit(0);
  }

  static void produce(Map<String, String> keys) throws Exception {
    int valueBytes = Integer.parseInt(keys.get("value_bytes"));
    Properties settings = new Properties();
    settings.put("bootstrap.servers", keys.get("bootstrap"));
    settings.put("compression.type", keys.get("codec"));
    settings.put("acks", keys.get("acks"));
    settings.put("enable.idempotence", keys.get("idempotent"));
    settings.put("delivery.timeout.ms", "60000");
    settings.put("max.request.size", Integer.toString(Math.max(1 << 20, valueBytes + 10_000)));
    settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
    long first = Long.parseLong(keys.get("first"));
    long count = Long.parseLong(keys.get("count"));
    long rate = Long.parseLong(keys.get("rate_per_s"));
    Integer partition = keys.get("partition").equals("-1") ? null : Integer.valueOf(keys.get("partition"));
    AtomicLong acked = new AtomicLong();
    AtomicLong lost = new AtomicLong();
    Set<String> errors = Collections.synchronizedSet(new TreeSet<>());
    Thread teller = teller(acked);
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
      if (rate > 0) teller.start();
      long began = System.nanoTime();
      for (long i = first; i < first + count; i++) {
        if (rate > 0) Thread.sleep(Math.max(0, (i - first) * 1000 / rate - (System.nanoTime() - began) / 1_000_000));
        String value = "value-" + i;
        value += ".".repeat(Math.max(0, valueBytes - value.length()));
        producer.send(new ProducerRecord<>(keys.get("topic"), partition, "key-" + i, value), (place, error) -> {
          if (error == null) {
            acked.incrementAndGet();
          } else {
            lost.incrementAndGet();
            errors.add(error.toString());
          }
        });
      }
    }
    teller.interrupt();
    teller.join();
    List<String> texts = new ArrayList<>();
    for (String error : errors) texts.add(quoted(error));
    emit("{\"event\":\"produced\",\"acked\":" + acked + ",\"failed\":" + lost + ",\"errors\":[" + String.join(",", texts) + "]}");
  }

  /** Tells about each second how far it is, until it is interrupted. */
  static Thread teller(AtomicLong acked) {
    return new Thread(() -> {
      try {
        while (true) {
          Thread.sleep(1000);
          emit("{\"event\":\"progress\",\"acked\":" + acked + "}");
        }
      } catch (InterruptedException end) {
        Thread.currentThread().interrupt();
      }
    });
  }

  /** Reads as a group's member, or given partitions alone; all of it on one thread, as the consumer wants it. */
  static final class Reader implements ConsumerRebalanceListener {
    final Map<String, String> keys;
    final BlockingQueue<String[]> commands = new LinkedBlockingQueue<>();
    final Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
    final long max;
    KafkaConsumer<String, String> consumer;
    long read;
    boolean due;

    Reader(Map<String, String> keys) {
      this.keys = keys;
      this.max = Long.parseLong(keys.get("max"));
    }

    void run() {
      consumer = new KafkaConsumer<>(settings());
      begin();
      Thread listener = new Thread(this::listen);
      listener.setDaemon(true);
      listener.start();
      while (max == 0 || read < max) {
        String[] command = commands.poll();
        if (command != null && command[0].equals("stop")) break;
        try {
          if (command != null) obey(command);
          poll();
        } catch (FencedInstanceIdException error) {
          throw error;
        } catch (RetriableException | RebalanceInProgressException | CommitFailedException error) {
          failed(error, false);
        }
      }
      consumer.close(); // commits what its own commits have left, leaves the group
      emit("{\"event\":\"stopped\",\"read\":" + read + "}");
    }

    Properties settings() {
      Properties settings = new Properties();
      settings.put("bootstrap.servers", keys.get("bootstrap"));
      settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
      settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
      settings.put("auto.offset.reset", keys.get("from"));
      settings.put("metadata.max.age.ms", keys.get("metadata_max_age_ms"));
      settings.put("session.timeout.ms", keys.get("session_ms"));
      settings.put("heartbeat.interval.ms", keys.get("heartbeat_ms"));
      settings.put("enable.auto.commit", Boolean.toString(keys.get("commit").equals("auto") && !keys.get("group").isEmpty()));
      settings.put("auto.commit.interval.ms", "1000");
      if (!keys.get("group").isEmpty()) settings.put("group.id", keys.get("group"));
      if (!keys.get("instance").isEmpty()) settings.put("group.instance.id", keys.get("instance"));
      if (!keys.get("client_id").isEmpty()) settings.put("client.id", keys.get("client_id"));
      if (!keys.get("assignor").isEmpty()) settings.put("partition.assignment.strategy", assignor(keys.get("assignor")));
      return settings;
    }

    static String assignor(String name) {
      switch (name) {
        case "range": return "org.apache.kafka.clients.consumer.RangeAssignor";
        case "roundrobin": return "org.apache.kafka.clients.consumer.RoundRobinAssignor";
        case "sticky": return "org.apache.kafka.clients.consumer.StickyAssignor";
        case "cooperative-sticky": return "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        default: throw new IllegalArgumentException("no assignor " + name);
      }
    }

    void begin() {
      List<TopicPartition> given = new ArrayList<>();
      if (!keys.get("assign").isEmpty()) {
        for (String at : keys.get("assign").split(",")) given.add(place(at));
      } else if (!keys.get("pattern").isEmpty()) {
        consumer.subscribe(Pattern.compile(keys.get("pattern")), this);
      } else if (!keys.get("group").isEmpty()) {
        consumer.subscribe(Arrays.asList(keys.get("topics").split(",")), this);
      } else {
        for (String topic : keys.get("topics").split(",")) {
          for (PartitionInfo partition : consumer.partitionsFor(topic)) given.add(new TopicPartition(topic, partition.partition()));
        }
      }
      if (!given.isEmpty()) {
        consumer.assign(given);
        tellPlaces("assigned", given);
      }
    }

    void poll() {
      ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
      for (TopicPartition partition : records.partitions()) {
        for (ConsumerRecord<String, String> record : records.records(partition)) {
          if (max > 0 && read == max) {
            consumer.seek(partition, record.offset()); // handed out and not told: not to be committed
            break;
          }
          tell(record);
        }
      }
      due |= keys.get("commit").equals("each") && !records.isEmpty();
      if (due) commit(); // one that a rebalance forbids is made up for after the next poll
    }

    void tell(ConsumerRecord<String, String> record) {
      TopicPartition partition = new TopicPartition(record.topic(), record.partition());
      next.put(partition, new OffsetAndMetadata(record.offset() + 1));
      read++;
      String value = record.value() == null ? "" : record.value();
      int end = value.length();
      while (end > 0 && value.charAt(end - 1) == '.') end--;
      emit("{\"event\":\"record\",\"at\":" + quoted(partition) + ",\"offset\":" + record.offset() + ",\"timestamp\":" + record.timestamp()
          + ",\"key\":" + quoted(record.key()) + ",\"value\":" + quoted(value.substring(0, end)) + ",\"bytes\":" + value.length() + "}");
    }

    void commit() {
      consumer.commitSync(next);
      due = false;
      Map<String, String> offsets = new TreeMap<>();
      next.forEach((partition, offset) -> offsets.put(quoted(partition), quoted(partition) + ":" + offset.offset()));
      emit("{\"event\":\"committed\",\"offsets\":{" + String.join(",", offsets.values()) + "}}");
    }

    void obey(String[] command) {
      switch (command[0]) {
        case "pause":
          consumer.pause(consumer.assignment());
          emit("{\"event\":\"paused\"}");
          break;
        case "resume":
          consumer.resume(consumer.paused());
          emit("{\"event\":\"resumed\"}");
          break;
        case "seek":
          seek(place(command[1]), Long.parseLong(command[2]));
          emit("{\"event\":\"sought\"}");
          break;
        case "seek_time":
          Map<TopicPartition, Long> times = new HashMap<>();
          for (TopicPartition partition : consumer.assignment()) times.put(partition, Long.parseLong(command[1]));
          Map<TopicPartition, Long> ends = consumer.endOffsets(times.keySet());
          for (Map.Entry<TopicPartition, OffsetAndTimestamp> found : consumer.offsetsForTimes(times).entrySet()) {
            seek(found.getKey(), found.getValue() == null ? ends.get(found.getKey()) : found.getValue().offset());
          }
          emit("{\"event\":\"sought\"}");
          break;
        case "commit":
          commit();
          break;
        default:
          throw new IllegalStateException(command[0]);
      }
    }

    void seek(TopicPartition partition, long offset) {
      consumer.seek(partition, offset);
      next.put(partition, new OffsetAndMetadata(offset));
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> more) {
      tellPlaces("assigned", consumer.assignment());
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> gone) {
      onPartitionsLost(gone);
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> gone) {
      next.keySet().removeAll(gone);
      if (!gone.isEmpty()) tellPlaces("revoked", gone);
    }

    void listen() {
      java.util.Scanner lines = new java.util.Scanner(System.in);
      while (lines.hasNextLine()) {
        String[] words = lines.nextLine().trim().split(" +");
        int wanted = words[0].equals("seek") ? 3 : words[0].equals("seek_time") ? 2 : 1;
        if (!Set.of("pause", "resume", "seek", "seek_time", "commit", "stop", "abandon").contains(words[0]) || words.length != wanted) {
          refuse("unknown command: " + String.join(" ", words));
        }
        if (words[0].equals("abandon")) Runtime.getRuntime().halt(0);
        commands.add(words);
      }
      commands.add(new String[] {"stop"});
    }
  }

  static TopicPartition place(String at) {
    int colon = at.lastIndexOf(':');
    return new TopicPartition(at.substring(0, colon), Integer.parseInt(at.substring(colon + 1)));
  }

  static void tellPlaces(String event, Collection<TopicPartition> partitions) {
    Set<String> names = new TreeSet<>();
    for (TopicPartition partition : partitions) names.add(quoted(partition));
    emit("{\"event\":\"" + event + "\",\"partitions\":[" + String.join(",", names) + "]}");
  }

  static String quoted(TopicPartition partition) {
    return quoted(partition.topic() + ":" + partition.partition());
  }

  static String quoted(String text) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char c : (text == null ? "" : text).toCharArray()) {
      if (c == '"' || c == '\\') quoted.append('\\').append(c);
      else if (c < ' ') quoted.append(String.format("\\u%04x", (int) c));
      else quoted.append(c);
    }
    return quoted.append('"').toString();
  }

  static synchronized void emit(String event) {
    System.out.println(event);
    System.out.flush();
  }

  static void failed(Exception error, boolean fatal) {
    emit("{\"event\":\"error\",\"message\":" + quoted(error.toString()) + ",\"fatal\":" + fatal + "}");
  }

  static void refuse(String why) {
    System.err.println(why);
    Runtime.getRuntime().halt(2);
  }
}
