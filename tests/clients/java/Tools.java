import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's own command line tools one after the other in one JVM, since starting one costs about a second.
 *
 * A line on standard input is a class and its arguments, separated by tabs. What its main method prints, to either stream, comes on
 * standard output, and then a line of U+0001 and the exit status.
 */
public final class Tools {
    private Tools() {
    }

    public static void main(String[] none) throws Exception {
        PrintStream out = System.out;
        System.setErr(out);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split("\t", -1);
            int status = run(words[0], Arrays.copyOfRange(words, 1, words.length));
            out.println();
            out.println("\u0001" + status);
            out.flush();
        }
    }

    private static int run(String tool, String[] arguments) throws Exception {
        CompletableFuture<Integer> status = new CompletableFuture<>();
        // Nothing of a tool runs after its exit: its thread waits for ever instead.
        Exit.setExitProcedure((code, message) -> {
            status.complete(code);
            new CompletableFuture<Void>().join();
        });
        Thread thread = new Thread(() -> {
            try {
                Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
                status.complete(0);
            } catch (ReflectiveOperationException error) {
                error.printStackTrace();
                status.complete(1);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return status.get();
    }
}
