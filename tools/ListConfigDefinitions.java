import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;

/**
 * Prints the settings of the Kafka release on the class path as JSON: facts, and no documentation.
 *
 * Where a release keeps its definitions is found by reflection, so that one program does for all.
 * tools/generate_config_definitions.py runs it.
 */
public class ListConfigDefinitions {
    private static final String[] BROKER = {"kafka.server.KafkaConfig$"};
    private static final String[] DYNAMIC = {
        "org.apache.kafka.server.config.DynamicConfig$Broker", "kafka.server.DynamicConfig$Broker$"
    };
    private static final String[] UPDATE_MODES = {
        "org.apache.kafka.server.config.DynamicBrokerConfig", "kafka.server.DynamicBrokerConfig$"
    };
    private static final String[] TOPIC = {
        "org.apache.kafka.storage.internals.log.LogConfig", "kafka.log.LogConfig$"
    };
    private static final String[] GROUP = {"org.apache.kafka.coordinator.group.GroupConfig"};
    private static final String[] CLIENT_METRICS = {
        "org.apache.kafka.server.metrics.ClientMetricsConfigs", "kafka.metrics.ClientMetricsConfigs"
    };

    /** Not a topic's settings, though the class of these holds it. */
    private static final String SERVER_DEFINITIONS = "SERVER_CONFIG_DEF";

    /** Above every bound of a setting that is checked by a program and not by a range. */
    private static final int PROBED = 1000;

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> found = new TreeMap<>();
        found.put("broker", broker());
        found.put("topic", described(keys(TOPIC)));
        found.put("group", described(keys(GROUP)));
        found.put("client-metrics", described(keys(CLIENT_METRICS)));
        found.put("topic synonyms", topicSynonyms());
        found.put("group synonyms", groupSynonyms());
        System.out.println(json(found));
    }

    /** With how each can be changed; and those too that are only for changing, and not in a broker's list. */
    private static Map<String, Map<String, Object>> broker() throws Exception {
        Map<String, ConfigDef.ConfigKey> listed = keys(BROKER);
        Map<String, ConfigDef.ConfigKey> all = new TreeMap<>(keys(DYNAMIC));
        all.putAll(listed);
        Map<?, ?> modes = (Map<?, ?>) call(UPDATE_MODES, "dynamicConfigUpdateModes");
        Map<String, Map<String, Object>> found = described(all);
        found.forEach((name, facts) -> {
            if (modes.containsKey(name)) facts.put("update", modes.get(name));
            if (!listed.containsKey(name)) facts.put("unlisted", true);
        });
        return found;
    }

    private static Map<String, Map<String, Object>> described(Map<String, ConfigDef.ConfigKey> keys) {
        Map<String, Map<String, Object>> found = new TreeMap<>();
        keys.forEach((name, key) -> {
            Map<String, Object> facts = new TreeMap<>();
            facts.put("type", key.type.name().toLowerCase());
            if (key.hasDefault()) facts.put("default", ConfigDef.convertToString(key.defaultValue, key.type));
            if (key.validator != null) facts.put("valid", rule(key));
            if (key.internalConfig) facts.put("internal", true);
            found.put(name, facts);
        });
        return found;
    }

    /** What a validator lets through: its kind, and what it holds. */
    private static Object rule(ConfigDef.ConfigKey key) {
        Object validator = key.validator;
        String kind = validator.getClass().getSimpleName();
        Map<String, Object> facts = new TreeMap<>();
        if (kind.isEmpty() || kind.equals("LambdaValidator")) return probed(key);
        facts.put("kind", kind.replace("$", ""));
        if (kind.contains("VersionValidator")) facts.put("versions", validator.toString());
        for (Field field : validator.getClass().getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers())) continue;
            Object value = value(field, validator);
            if (value instanceof ConfigDef.Validator) value = value(field(value.getClass(), "validStrings"), value);
            facts.put(field.getName(), value);
        }
        return facts;
    }

    /** The lowest and highest number that a program lets through, and whether it also takes -1. */
    private static Object probed(ConfigDef.ConfigKey key) {
        Integer low = null;
        Integer high = null;
        for (int number = 0; number <= PROBED; number++) {
            if (!passes(key, number)) continue;
            if (low == null) low = number;
            high = number;
        }
        Map<String, Object> facts = new TreeMap<>();
        facts.put("kind", "Range");
        facts.put("min", low);
        facts.put("max", high == null || high == PROBED ? null : high);
        if (passes(key, -1)) facts.put("or", -1);
        return facts;
    }

    private static boolean passes(ConfigDef.ConfigKey key, Object value) {
        try {
            key.validator.ensureValid(key.name, value);
            return true;
        } catch (ConfigException error) {
            return false;
        }
    }

    /** Topic setting to the broker's that comes first; a release has one of two tables, or both. */
    private static Map<String, Object> topicSynonyms() throws Exception {
        Class<?> table = first("org.apache.kafka.server.config.ServerTopicConfigSynonyms");
        if (table == null) table = first(TOPIC);
        Object found = null;
        for (String name : new String[] {"TOPIC_CONFIG_SYNONYMS", "TopicConfigSynonyms"}) {
            Field field = field(table, name);
            if (field != null) found = value(field, module(table));
        }
        Map<String, Object> synonyms = new TreeMap<>();
        if (found instanceof Map) {
            ((Map<?, ?>) found).forEach((topic, broker) -> synonyms.put((String) topic, broker));
        } else {
            // A map of Scala's, which this program does not know at compile time.
            for (String topic : keys(TOPIC).keySet()) {
                Object option = found.getClass().getMethod("get", Object.class).invoke(found, topic);
                if ((Boolean) option.getClass().getMethod("isDefined").invoke(option)) {
                    synonyms.put(topic, option.getClass().getMethod("get").invoke(option));
                }
            }
        }
        return synonyms;
    }

    /** Group setting to the broker's, in the releases that say so. */
    private static Map<String, Object> groupSynonyms() throws Exception {
        Map<String, Object> synonyms = new TreeMap<>();
        Class<?> group = first(GROUP);
        Field field = group == null ? null : field(group, "ALL_GROUP_CONFIG_SYNONYMS");
        if (field != null) {
            ((Map<?, ?>) value(field, null)).forEach((name, broker) ->
                ((Optional<?>) broker).ifPresent(found -> synonyms.put((String) name, found)));
        }
        return synonyms;
    }

    private static Map<String, ConfigDef.ConfigKey> keys(String... names) throws Exception {
        Class<?> holder = first(names);
        if (holder == null) return Map.of();
        for (Field field : holder.getDeclaredFields()) {
            if (ConfigDef.class.isAssignableFrom(field.getType()) && !field.getName().equals(SERVER_DEFINITIONS)) {
                return ((ConfigDef) value(field, module(holder))).configKeys();
            }
        }
        throw new IllegalStateException(holder + " holds no definitions");
    }

    private static Object call(String[] names, String method) throws Exception {
        Class<?> holder = first(names);
        Method found = holder.getDeclaredMethod(method);
        found.setAccessible(true);
        return found.invoke(module(holder));
    }

    private static Class<?> first(String... names) {
        for (String name : names) {
            try {
                return Class.forName(name);
            } catch (ClassNotFoundException missing) {
                // Another release has it.
            }
        }
        return null;
    }

    /** The one instance of a Scala object; null for a class of Java's, whose members are static. */
    private static Object module(Class<?> holder) throws Exception {
        return holder.getName().endsWith("$") ? holder.getField("MODULE$").get(null) : null;
    }

    private static Field field(Class<?> holder, String name) {
        try {
            return holder.getDeclaredField(name);
        } catch (NoSuchFieldException missing) {
            return null;
        }
    }

    private static Object value(Field field, Object holder) {
        try {
            field.setAccessible(true);
            return field.get(holder);
        } catch (IllegalAccessException error) {
            throw new IllegalStateException(error);
        }
    }

    private static String json(Object value) {
        if (value instanceof Map) {
            List<String> parts = new ArrayList<>();
            ((Map<?, ?>) value).forEach((name, part) -> parts.add(json(name) + ":" + json(part)));
            return "{" + String.join(",", parts) + "}";
        }
        if (value instanceof Collection) {
            List<String> parts = new ArrayList<>();
            ((Collection<?>) value).forEach(part -> parts.add(json(part)));
            return "[" + String.join(",", parts) + "]";
        }
        if (value == null || value instanceof Number || value instanceof Boolean) return String.valueOf(value);
        return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }
}
