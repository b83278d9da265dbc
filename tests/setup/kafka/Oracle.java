// What a broker holds, asked through Kafka's own Java client and printed as one JSON document; and the few writes that a test needs
// from a hand that is not ours. Nothing of the programs under test may be used here.
//
//   Oracle BOOTSTRAP all [PREFIX of the topics] | topics | acls | users | quotas | broker-defaults | brokers | metadata-offset | records TOPIC
//   Oracle BOOTSTRAP create TOPIC PARTITIONS REPLICAS [KEY=VALUE...] | delete TOPIC | set TOPIC KEY=VALUE... | set-broker ID KEY=VALUE... | produce TOPIC [KEY=VALUE...]
//   Oracle BOOTSTRAP abort TOPIC KEY=VALUE... (written in a transaction that is aborted) | expire TOPIC (every record so far) | token (a delegation token)
//   Oracle BOOTSTRAP settings TYPE NAME                           (what was set on a BROKER, GROUP or CLIENT_METRICS)
//   Oracle BOOTSTRAP grant PRINCIPAL TYPE NAME OPERATION          (an allowed ACL on a literal name)
//   Oracle BOOTSTRAP login USER PASSWORD MECHANISM ADDRESS        (whether that SASL_PLAINTEXT listener lets in)
//   Oracle BOOTSTRAP serve                                        (a question a line, as an array of words; an answer a line)
//
// ORACLE_CONFIG names a .properties file with further client settings (security).

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.BufferedReader;
import java.io.FileReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.resource.*;
import org.apache.kafka.common.serialization.*;

public class Oracle {
    static Properties settings = new Properties();
    static Admin admin;

    public static void main(String[] arguments) throws Exception {
        String file = System.getenv("ORACLE_CONFIG");
        if (file != null && !file.isEmpty()) {
            try (FileReader reader = new FileReader(file)) {
                settings.load(reader);
            }
        }
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("request.timeout.ms", "10000");
        settings.put("default.api.timeout.ms", "15000");
        settings.put("metadata.max.age.ms", "1000");
        List<String> rest = List.of(arguments).subList(2, arguments.length);
        try (Admin opened = Admin.create(settings)) {
            admin = opened;
            ObjectMapper mapper = new ObjectMapper().enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS);
            if (!arguments[1].equals("serve")) {
                System.out.println(mapper.writeValueAsString(answer(arguments[1], rest)));
                return;
            }
            BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            for (String line = questions.readLine(); line != null; line = questions.readLine()) {
                List<String> words = List.of(mapper.readValue(line, String[].class));
                System.out.println(mapper.writeValueAsString(answer(words.get(0), words.subList(1, words.size()))));
            }
        }
    }

    static Object answer(String command, List<String> rest) throws Exception {
        switch (command) {
            case "all":
                Map<String, Object> all = new TreeMap<>();
                all.put("topics", topics(rest.isEmpty() ? "" : rest.get(0)));
                all.put("acls", acls());
                all.put("users", users());
                all.put("quotas", quotas());
                all.put("broker_defaults", dynamic(new ConfigResource(ConfigResource.Type.BROKER, "")));
                return all;
            case "topics":
                return topics("");
            case "acls":
                return acls();
            case "users":
                return users();
            case "quotas":
                return quotas();
            case "broker-defaults":
                return dynamic(new ConfigResource(ConfigResource.Type.BROKER, ""));
            case "brokers":
                List<Integer> ids = new ArrayList<>();
                admin.describeCluster().nodes().get().forEach(node -> ids.add(node.id()));
                ids.sort(null);
                return ids;
            case "metadata-offset":
                return admin.describeMetadataQuorum().quorumInfo().get().highWatermark();
            case "records":
                return records(rest.get(0));
            case "create":
                NewTopic topic = new NewTopic(rest.get(0), Optional.of(Integer.valueOf(rest.get(1))), Optional.of(Short.valueOf(rest.get(2))));
                admin.createTopics(List.of(topic.configs(pairs(rest.subList(3, rest.size()))))).all().get();
                return "created";
            case "delete":
                admin.deleteTopics(rest).all().get();
                return "deleted";
            case "set":
            case "set-broker":
                Collection<AlterConfigOp> changes = new ArrayList<>();
                pairs(rest.subList(1, rest.size())).forEach((key, value) -> changes.add(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET)));
                admin.incrementalAlterConfigs(Map.of(new ConfigResource(command.equals("set") ? ConfigResource.Type.TOPIC : ConfigResource.Type.BROKER, rest.get(0)), changes)).all().get();
                return "set";
            case "produce":
                try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                    for (Map.Entry<String, String> pair : pairs(rest.subList(1, rest.size())).entrySet()) {
                        producer.send(new ProducerRecord<>(rest.get(0), pair.getKey(), pair.getValue())).get();
                    }
                }
                return "produced";
            case "abort":
                Properties transactional = new Properties();
                transactional.putAll(settings);
                transactional.put("transactional.id", "oracle." + rest.get(0));
                try (KafkaProducer<String, String> producer = new KafkaProducer<>(transactional, new StringSerializer(), new StringSerializer())) {
                    producer.initTransactions();
                    producer.beginTransaction();
                    for (Map.Entry<String, String> pair : pairs(rest.subList(1, rest.size())).entrySet()) {
                        producer.send(new ProducerRecord<>(rest.get(0), pair.getKey(), pair.getValue())).get();
                    }
                    producer.abortTransaction();
                }
                return "aborted";
            case "expire":
                Map<TopicPartition, RecordsToDelete> all_of_it = new TreeMap<>((left, right) -> Integer.compare(left.partition(), right.partition()));
                int count = admin.describeTopics(rest).allTopicNames().get().get(rest.get(0)).partitions().size();
                for (int partition = 0; partition < count; partition++) {
                    all_of_it.put(new TopicPartition(rest.get(0), partition), RecordsToDelete.beforeOffset(-1));
                }
                admin.deleteRecords(all_of_it).all().get();
                return "expired";
            case "token":
                org.apache.kafka.common.security.token.delegation.DelegationToken token = admin.createDelegationToken().delegationToken().get();
                return Map.of("id", token.tokenInfo().tokenId(), "hmac", token.hmacAsBase64String());
            case "settings":
                return own(new ConfigResource(ConfigResource.Type.valueOf(rest.get(0)), rest.get(1)));
            case "grant":
                ResourcePattern pattern = new ResourcePattern(ResourceType.fromString(rest.get(1)), rest.get(2), PatternType.LITERAL);
                AccessControlEntry entry = new AccessControlEntry(rest.get(0), "*", AclOperation.fromString(rest.get(3)), AclPermissionType.ALLOW);
                admin.createAcls(List.of(new AclBinding(pattern, entry))).all().get();
                return "granted";
            case "login":
                Properties login = new Properties();
                login.putAll(settings);
                login.put("bootstrap.servers", rest.get(3));
                login.put("security.protocol", "SASL_PLAINTEXT");
                login.put("sasl.mechanism", rest.get(2));
                login.put("sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"" + rest.get(0) + "\" password=\"" + rest.get(1) + "\";");
                try (Admin let_in = Admin.create(login)) {
                    let_in.describeCluster().nodes().get();
                    return true;
                } catch (java.util.concurrent.ExecutionException refused) {
                    return false;
                }
            default:
                throw new IllegalArgumentException("unknown command " + command);
        }
    }

    static Map<String, String> pairs(List<String> words) {
        Map<String, String> pairs = new TreeMap<>();
        for (String word : words) {
            pairs.put(word.substring(0, word.indexOf('=')), word.substring(word.indexOf('=') + 1));
        }
        return pairs;
    }

    static Map<String, Object> topics(String prefix) throws Exception {
        Map<String, Object> topics = new TreeMap<>();
        List<String> names = new ArrayList<>(admin.listTopics(new ListTopicsOptions().listInternal(true)).names().get());
        names.removeIf(name -> !name.startsWith(prefix));
        for (TopicDescription topic : admin.describeTopics(names).allTopicNames().get().values()) {
            Map<String, Object> shown = new TreeMap<>();
            shown.put("partitions", topic.partitions().size());
            shown.put("replicas", topic.partitions().get(0).replicas().size());
            shown.put("in_sync", topic.partitions().stream().mapToInt((TopicPartitionInfo partition) -> partition.isr().size()).min().orElse(0));
            shown.put("config", dynamic(new ConfigResource(ConfigResource.Type.TOPIC, topic.name())));
            topics.put(topic.name(), shown);
        }
        return topics;
    }

    // Only what somebody set: not the defaults, not the broker's file.
    static Map<String, String> dynamic(ConfigResource resource) throws Exception {
        ConfigEntry.ConfigSource own = resource.type() == ConfigResource.Type.TOPIC
            ? ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG
            : ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG;
        Map<String, String> values = new TreeMap<>();
        for (ConfigEntry entry : admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
            if (entry.source() == own) {
                values.put(entry.name(), entry.value());
            }
        }
        return values;
    }

    // What is no default, whatever its source is called.
    static Map<String, String> own(ConfigResource resource) throws Exception {
        Map<String, String> values = new TreeMap<>();
        for (ConfigEntry entry : admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()) {
            if (!entry.isDefault() && entry.source() != ConfigEntry.ConfigSource.STATIC_BROKER_CONFIG && entry.source() != ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG) {
                values.put(entry.name(), entry.value());
            }
        }
        return values;
    }

    static List<String> acls() throws Exception {
        List<String> lines = new ArrayList<>();
        for (AclBinding binding : admin.describeAcls(AclBindingFilter.ANY).values().get()) {
            ResourcePattern pattern = binding.pattern();
            AccessControlEntry entry = binding.entry();
            lines.add(String.join(" ", entry.principal(), entry.permissionType().name(), entry.operation().name(),
                pattern.resourceType().name(), pattern.patternType().name(), pattern.name(), entry.host()));
        }
        lines.sort(null);
        return lines;
    }

    static Map<String, Object> users() throws Exception {
        Map<String, Object> users = new TreeMap<>();
        admin.describeUserScramCredentials().all().get().forEach((name, description) -> {
            Map<String, Object> mechanisms = new TreeMap<>();
            description.credentialInfos().forEach(info -> mechanisms.put(info.mechanism().mechanismName(), info.iterations()));
            users.put(name, mechanisms);
        });
        return users;
    }

    static Map<String, Object> quotas() throws Exception {
        Map<String, Object> quotas = new TreeMap<>();
        admin.describeClientQuotas(ClientQuotaFilter.all()).entities().get().forEach((entity, values) -> {
            List<String> parts = new ArrayList<>();
            entity.entries().forEach((type, name) -> parts.add(type + "=" + (name == null ? "<default>" : name)));
            parts.sort((left, right) -> right.compareTo(left)); // user before client-id
            quotas.put(String.join(",", parts), new TreeMap<>(values));
        });
        return quotas;
    }

    // Everything committed, from the first record to the end as it is now.
    static List<Object> records(String topic) {
        List<Object> found = new ArrayList<>();
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(topic).forEach(partition -> partitions.add(new TopicPartition(topic, partition.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                consumer.poll(Duration.ofMillis(200)).forEach(message -> {
                    Map<String, Object> shown = new TreeMap<>();
                    shown.put("partition", message.partition());
                    shown.put("offset", message.offset());
                    shown.put("key", text(message.key()));
                    shown.put("value", text(message.value()));
                    Map<String, String> headers = new TreeMap<>();
                    List<String> each = new ArrayList<>();
                    message.headers().forEach(header -> headers.put(header.key(), text(header.value())));
                    message.headers().forEach(header -> each.add(header.key() + "=" + text(header.value())));
                    shown.put("headers", headers);
                    shown.put("each_header", each);
                    shown.put("timestamp", message.timestamp());
                    found.add(shown);
                });
            }
        }
        return found;
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
