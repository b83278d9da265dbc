// Runs one OpenSearch node as whoever starts it. OpenSearch's own main class refuses root and wants the security manager or its agent, which
// the jars of a test node neither need nor all have. Compiled against 2.19, it runs on every 2.x and 3.x.
//
//   RunNode HOME CONFIG

import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;

public class RunNode {
    public static void main(String[] arguments) throws Exception {
        Path home = Paths.get(arguments[0]).toAbsolutePath();
        Path config = Paths.get(arguments[1]).toAbsolutePath();
        Settings settings = Settings.builder().put("path.home", home.toString()).build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "n1");
        LogConfigurator.configure(environment);
        Node node = new Node(environment);
        node.start();
        new CountDownLatch(1).await();
    }
}
