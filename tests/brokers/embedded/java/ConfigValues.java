import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;

/**
 * Reads lines of a kind of resource, a setting's name and a value, with tabs between, and answers each
 * with `=` and the value as Kafka tells it, or with `!` and what Kafka says against it.
 */
public class ConfigValues {
    private static final Map<String, String> HOLDERS = Map.of(
        "broker", "kafka.server.KafkaConfig$",
        "topic", "org.apache.kafka.storage.internals.log.LogConfig",
        "old topic", "kafka.log.LogConfig$",
        "group", "org.apache.kafka.coordinator.group.GroupConfig");

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] parts = line.split("\t", 3);
            answers.println(answer(parts[0], parts[1], parts[2]));
        }
    }

    private static String answer(String resource, String name, String text) throws Exception {
        ConfigDef.ConfigKey key = keys(resource).get(name);
        try {
            Object value = ConfigDef.parseType(name, text, key.type);
            if (key.validator != null) {
                if (key.validator.getClass().getSimpleName().equals("ValidList") && takesDuplicatesForOne()) {
                    value = new ArrayList<>(new LinkedHashSet<>((List<?>) value));
                }
                key.validator.ensureValid(name, value);
            }
            return "=" + ConfigDef.convertToString(value, key.type);
        } catch (ConfigException | IllegalArgumentException error) {
            return "!" + error.getMessage();
        }
    }

    /** As `ConfigDef.parseValue` of later releases does, which is not public. */
    private static boolean takesDuplicatesForOne() {
        for (Field field : ConfigDef.ValidList.class.getDeclaredFields()) {
            if (field.getName().equals("isEmptyAllowed")) return true;
        }
        return false;
    }

    private static Map<String, ConfigDef.ConfigKey> keys(String resource) throws Exception {
        Class<?> holder;
        try {
            holder = Class.forName(HOLDERS.get(resource));
        } catch (ClassNotFoundException missing) {
            holder = Class.forName(HOLDERS.get("old " + resource));
        }
        Object module = holder.getName().endsWith("$") ? holder.getField("MODULE$").get(null) : null;
        for (Field field : holder.getDeclaredFields()) {
            if (!ConfigDef.class.isAssignableFrom(field.getType())) continue;
            if (field.getName().equals("SERVER_CONFIG_DEF")) continue;
            field.setAccessible(true);
            return ((ConfigDef) field.get(module)).configKeys();
        }
        throw new IllegalStateException(resource);
    }
}
