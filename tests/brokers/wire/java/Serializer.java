import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/** Kafka's own serializer, line by line: a class, the version its JSON is of, the version to write, JSON. */
public class Serializer {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 0) {
            facts();
            return;
        }
        ObjectMapper json = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ", 4);
            short read = Short.parseShort(words[1]);
            short write = Short.parseShort(words[2]);
            System.out.println(serialized(words[0], read, write, json.readTree(words[3])));
            System.out.flush();
        }
    }

    private static String serialized(String name, short read, short write, JsonNode node) throws Exception {
        Class<?> converter = Class.forName("org.apache.kafka.common.message." + name + "JsonConverter");
        try {
            Message message = (Message) converter.getMethod("read", JsonNode.class, short.class).invoke(null, node, read);
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, write));
            message.write(new ByteBufferAccessor(buffer), cache, write);
            return HexFormat.of().formatHex(buffer.array());
        } catch (InvocationTargetException error) {
            return "json: " + error.getCause();
        } catch (RuntimeException error) {
            return "refused: " + error;
        }
    }

    private static void facts() {
        for (ApiKeys api : ApiKeys.values()) {
            if (api.latestVersion() >= 0 && api.latestVersion() >= api.oldestVersion())
                System.out.printf("api %d %s %d %d%n", api.id, api.name, api.oldestVersion(), api.latestVersion());
        }
        for (Errors error : Errors.values()) System.out.printf("error %s %d%n", error.name(), error.code());
    }
}
