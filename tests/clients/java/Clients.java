import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.UUID;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Runs scenarios against a cluster: arguments are bootstrap servers and names; prints name to outcome as JSON. */
public final class Clients {
    private static final long PATIENCE_MS = 20_000;
    private final String bootstrap;
    private final Admin admin;

    private interface Scenario {
        Object run() throws Exception;
    }

    private Clients(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(config(Map.of()));
    }

    public static void main(String[] arguments) {
        Clients clients = new Clients(arguments[0]);
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("record", clients::record);
        scenarios.put("codecs", clients::codecs);
        scenarios.put("acks", clients::acks);
        scenarios.put("offsets", clients::offsets);
        scenarios.put("commit", () -> clients.commit("classic"));
        scenarios.put("group", () -> clients.group("classic"));
        scenarios.put("cooperative", () -> clients.group("cooperative"));
        scenarios.put("transactions", clients::transactions);
        scenarios.put("exactly_once", clients::exactlyOnce);
        scenarios.put("admin", clients::administration);
        scenarios.put("consumer_protocol_commit", () -> clients.commit("consumer"));
        scenarios.put("consumer_protocol", () -> clients.group("consumer"));
        Map<String, Object> outcomes = new LinkedHashMap<>();
        for (String name : Arrays.copyOfRange(arguments, 1, arguments.length)) {
            outcomes.put(name, outcome(scenarios.get(name)));
        }
        clients.admin.close(Duration.ofSeconds(5));
        System.out.println(json(outcomes));
    }

    private static Object outcome(Scenario scenario) {
        try {
            return scenario.run();
        } catch (Exception | AssertionError error) {
            StringWriter trace = new StringWriter();
            error.printStackTrace(new PrintWriter(trace));
            return Map.of("error", trace.toString());
        }
    }

    private Object record() throws Exception {
        String topic = topic(1);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            ProducerRecord<String, String> full = new ProducerRecord<>(topic, 0, 1_700_000_000_123L, "k", "v");
            full.headers().add("h", "1".getBytes(StandardCharsets.UTF_8));
            full.headers().add("h", "2".getBytes(StandardCharsets.UTF_8));
            producer.send(full).get();
            producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_124L, "k", (String) null)).get();
        }
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            List<Object> found = new ArrayList<>();
            for (ConsumerRecord<String, String> record : read(consumer, 2)) {
                List<Object> headers = new ArrayList<>();
                for (Header header : record.headers()) {
                    headers.add(List.of(header.key(), new String(header.value(), StandardCharsets.UTF_8)));
                }
                found.add(Arrays.asList(record.key(), record.value(), headers, record.timestamp(), record.offset()));
            }
            return found;
        }
    }

    private Object codecs() throws Exception {
        Map<String, Object> counts = new LinkedHashMap<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            counts.put(codec, roundTrip(Map.of("compression.type", codec)));
        }
        return counts;
    }

    private Object acks() throws Exception {
        Map<String, Object> counts = new LinkedHashMap<>();
        for (String acks : List.of("0", "1", "all")) {
            counts.put(acks, roundTrip(Map.of("acks", acks, "enable.idempotence", acks.equals("all"))));
        }
        return counts;
    }

    private int roundTrip(Map<String, Object> producing) throws Exception {
        String topic = topic(1);
        send(topic, numbers(20), producing);
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            return read(consumer, 20).size();
        }
    }

    private Object offsets() throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            for (long time : new long[] {1000, 2000, 3000}) {
                producer.send(new ProducerRecord<>(topic, 0, time, null, "")).get();
            }
        }
        Map<String, Object> found = new LinkedHashMap<>();
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            found.put("latest", consumer.endOffsets(List.of(partition)).get(partition));
            found.put("at_1500", consumer.offsetsForTimes(Map.of(partition, 1500L)).get(partition).offset());
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(1))).all().get();
            found.put("earliest", consumer.beginningOffsets(List.of(partition)).get(partition));
        }
        found.put("max_timestamp", admin.listOffsets(Map.of(partition, OffsetSpec.maxTimestamp())).partitionResult(partition).get().offset());
        return found;
    }

    private Object commit(String protocol) throws Exception {
        String topic = topic(1);
        String group = unique();
        TopicPartition partition = new TopicPartition(topic, 0);
        send(topic, numbers(4), Map.of());
        try (KafkaConsumer<String, String> first = consumer(grouped(group, protocol))) {
            first.subscribe(List.of(topic));
            read(first, 4);
            first.commitSync(Map.of(partition, new OffsetAndMetadata(2, "seen two")));
        }
        try (KafkaConsumer<String, String> second = consumer(grouped(group, protocol))) {
            second.subscribe(List.of(topic));
            List<String> resumed = values(read(second, 2));
            OffsetAndMetadata committed = second.committed(Set.of(partition)).get(partition);
            return Map.of("committed", committed.offset(), "metadata", committed.metadata(), "resumed", resumed);
        }
    }

    private Object group(String protocol) throws Exception {
        String topic = topic(4);
        String group = unique();
        Map<String, Object> found = new LinkedHashMap<>();
        try (KafkaConsumer<String, String> first = consumer(grouped(group, protocol))) {
            first.subscribe(List.of(topic));
            until(() -> polled(first) == 4);
            try (KafkaConsumer<String, String> second = consumer(grouped(group, protocol))) {
                second.subscribe(List.of(topic));
                until(() -> polled(first) == 2 & polled(second) == 2);
                Set<TopicPartition> union = new HashSet<>(first.assignment());
                union.addAll(second.assignment());
                found.put("shared", union.size());
                found.put("members", admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size());
            }
            until(() -> polled(first) == 4);
            found.put("alone", first.assignment().size());
        }
        return found;
    }

    private Object transactions() throws Exception {
        String topic = topic(1);
        try (KafkaProducer<String, String> producer = producer(Map.of("transactional.id", unique()))) {
            producer.initTransactions();
            for (int number = 0; number < 3; number++) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, String.valueOf(number))).get();
                if (number == 1) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        return Map.of("committed", all(topic, "read_committed", 2), "all", all(topic, "read_uncommitted", 3));
    }

    private Object exactlyOnce() throws Exception {
        String source = topic(1);
        String sink = topic(1);
        String group = unique();
        TopicPartition partition = new TopicPartition(source, 0);
        send(source, numbers(4), Map.of());
        long committed;
        try (KafkaProducer<String, String> producer = producer(Map.of("transactional.id", unique()))) {
            producer.initTransactions();
            process(producer, source, sink, group, false);
            process(producer, source, sink, group, true);
        }
        try (KafkaConsumer<String, String> consumer = consumer(grouped(group, "classic"))) {
            committed = consumer.committed(Set.of(partition)).get(partition).offset();
        }
        return Map.of("sink", all(sink, "read_committed", 4), "committed", committed);
    }

    private void process(KafkaProducer<String, String> producer, String source, String sink, String group, boolean commit)
            throws Exception {
        TopicPartition partition = new TopicPartition(source, 0);
        try (KafkaConsumer<String, String> consumer = consumer(grouped(group, "classic"))) {
            consumer.subscribe(List.of(source));
            for (ConsumerRecord<String, String> record : read(consumer, commit ? 2 : 4)) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(sink, record.value() + record.value()));
                producer.sendOffsetsToTransaction(
                        Map.of(partition, new OffsetAndMetadata(record.offset() + 1)), consumer.groupMetadata());
                if (record.offset() == 2 && !commit) {
                    producer.abortTransaction();
                    return;
                }
                producer.commitTransaction();
            }
        }
    }

    private Object administration() throws Exception {
        String topic = topic(1);
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("brokers", admin.describeCluster().nodes().get().stream().map(Node::id).sorted().collect(Collectors.toList()));
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all().get();
        until(() -> partitions(topic) == 3);
        found.put("partitions", partitions(topic));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        AlterConfigOp change = new AlterConfigOp(new ConfigEntry("retention.ms", "70000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
        until(() -> retention(resource).equals("70000"));
        found.put("retention", retention(resource));
        String group = unique();
        try (KafkaConsumer<String, String> consumer = consumer(grouped(group, "classic"))) {
            consumer.subscribe(List.of(topic));
            until(() -> polled(consumer) == 3);
            consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(0)));
        }
        found.put("group", admin.describeConsumerGroups(List.of(group)).all().get().get(group).groupState().toString());
        found.put("listed", admin.listGroups().all().get().stream().anyMatch(each -> each.groupId().equals(group)));
        admin.deleteConsumerGroups(List.of(group)).all().get();
        admin.deleteTopics(List.of(topic)).all().get();
        until(() -> !topics().contains(topic));
        found.put("deleted", true);
        return found;
    }

    private int partitions(String topic) {
        return got(() -> admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size());
    }

    private String retention(ConfigResource resource) {
        return got(() -> admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value());
    }

    private Collection<String> topics() {
        return got(() -> admin.listTopics().names().get());
    }

    private interface Question<T> {
        T ask() throws Exception;
    }

    private static <T> T got(Question<T> question) {
        try {
            return question.ask();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    private String topic(int partitions) throws Exception {
        String name = unique();
        NewTopic topic = new NewTopic(name, java.util.Optional.of(partitions), java.util.Optional.empty());
        admin.createTopics(List.of(topic)).all().get();
        until(() -> topics().contains(name));
        return name;
    }

    private static String unique() {
        return "java-" + UUID.randomUUID();
    }

    private void send(String topic, List<String> values, Map<String, Object> more) throws Exception {
        try (KafkaProducer<String, String> producer = producer(more)) {
            for (String value : values) {
                producer.send(new ProducerRecord<>(topic, value));
            }
        }
    }

    private List<String> all(String topic, String isolation, int count) {
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", isolation))) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            return values(read(consumer, count));
        }
    }

    private static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).collect(Collectors.toList());
    }

    private static List<String> numbers(int count) {
        List<String> values = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            values.add(String.valueOf(number));
        }
        return values;
    }

    private static int polled(KafkaConsumer<String, String> consumer) {
        consumer.poll(Duration.ofMillis(20));
        return consumer.assignment().size();
    }

    private static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> found = new ArrayList<>();
        until(() -> {
            consumer.poll(Duration.ofMillis(100)).forEach(found::add);
            return found.size() >= count;
        });
        return found;
    }

    private static void until(BooleanSupplier condition) {
        long end = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError("not so after " + PATIENCE_MS + " ms");
            }
        }
    }

    private Properties config(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of(
                "bootstrap.servers", bootstrap,
                "retry.backoff.ms", "20",
                "reconnect.backoff.ms", "20",
                "enable.metrics.push", "false"));
        config.putAll(more);
        Properties properties = new Properties();
        properties.putAll(config);
        return properties;
    }

    private KafkaProducer<String, String> producer(Map<String, Object> more) {
        return new KafkaProducer<>(config(more), new StringSerializer(), new StringSerializer());
    }

    private KafkaConsumer<String, String> consumer(Map<String, Object> more) {
        Map<String, Object> config = new HashMap<>(Map.of("auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        config.putAll(more);
        return new KafkaConsumer<>(config(config), new StringDeserializer(), new StringDeserializer());
    }

    private static Map<String, Object> grouped(String group, String protocol) {
        Map<String, Object> config = new HashMap<>(Map.of("group.id", group));
        if (protocol.equals("consumer")) {
            config.put("group.protocol", "consumer");
        } else {
            config.put("heartbeat.interval.ms", "100");
        }
        if (protocol.equals("cooperative")) {
            config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        }
        return config;
    }

    private static String json(Object value) {
        if (value instanceof Map<?, ?> map) {
            return map.entrySet().stream()
                    .map(entry -> json(entry.getKey()) + ":" + json(entry.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof Collection<?> items) {
            return items.stream().map(Clients::json).collect(Collectors.joining(",", "[", "]"));
        }
        if (value instanceof String text) {
            return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n").replace("\t", "\\t") + "\"";
        }
        return String.valueOf(value);
    }
}
