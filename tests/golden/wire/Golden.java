// Writes lines of a golden file: how and why is told in README.md beside this file.
//   java -cp 'JARS/*' tests/golden/wire/Golden.java DeleteRecordsRequest DeleteRecordsResponse ... >> tests/golden/wire/kafka-4.3.1.txt

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.Schema;

public final class Golden {
  private static final String PACKAGE = "org.apache.kafka.common.message.";
  private final Random random;
  private final boolean full;

  private Golden(long seed, boolean full) {
    this.random = new Random(seed);
    this.full = full;
  }

  public static void main(String[] names) throws Exception {
    for (String name : names) {
      Class<?> type = Class.forName(PACKAGE + name + "Data");
      Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
      for (short version = 0; version < schemas.length; version++) {
        if (schemas[version] == null) continue;
        for (boolean full : new boolean[] {true, false}) {
          Object message = new Golden(version * 2L + (full ? 0 : 1), full).fill(type);
          line(name, version, (Message) message);
        }
      }
    }
  }

  private static void line(String name, short version, Message message) throws Exception {
    ByteBuffer bytes;
    String json;
    try {
      ObjectSerializationCache cache = new ObjectSerializationCache();
      bytes = ByteBuffer.allocate(message.size(cache, version));
      message.write(new ByteBufferAccessor(bytes), cache, version);
      Class<?> converter = Class.forName(PACKAGE + name + "DataJsonConverter");
      Method write = converter.getMethod("write", message.getClass(), short.class);
      json = ((JsonNode) write.invoke(null, message, version)).toString();
    } catch (java.lang.reflect.InvocationTargetException | RuntimeException refused) {
      // A field that this version must not have is not at its default: the caller clears it and comes again.
      clear(message, String.valueOf(refused.getCause() != null ? refused.getCause().getMessage() : refused.getMessage()));
      line(name, version, message);
      return;
    }
    StringBuilder hex = new StringBuilder();
    for (byte one : bytes.array()) hex.append(String.format("%02x", one));
    System.out.println(name + " " + version + " " + hex + " " + json);
  }

  // "Attempted to write a non-default FIELD at version N"
  private static void clear(Message message, String reason) throws Exception {
    java.util.regex.Matcher named = java.util.regex.Pattern.compile("non-default (\\w+) at").matcher(reason);
    if (!named.find()) throw new IllegalStateException(message + ": " + reason);
    if (!clearIn(message, named.group(1))) throw new IllegalStateException("no field " + named.group(1));
  }

  private static boolean clearIn(Object owner, String name) throws Exception {
    Object fresh = owner.getClass().getConstructor().newInstance();
    boolean found = false;
    for (Field field : owner.getClass().getDeclaredFields()) {
      if (Modifier.isStatic(field.getModifiers()) || field.getName().startsWith("_")) continue;
      field.setAccessible(true);
      Object value = field.get(owner);
      if (field.getName().equals(name)) {
        field.set(owner, field.get(fresh));
        found = true;
      } else if (value instanceof Iterable<?>) {
        for (Object element : (Iterable<?>) value) {
          if (element.getClass().getName().startsWith(PACKAGE)) found |= clearIn(element, name);
        }
      }
    }
    return found;
  }

  private Object fill(Class<?> type) throws Exception {
    Object made = type.getConstructor().newInstance();
    for (Field field : type.getDeclaredFields()) {
      if (Modifier.isStatic(field.getModifiers()) || field.getName().startsWith("_")) continue;
      if (field.getName().equals("next") || field.getName().equals("prev")) continue;
      field.setAccessible(true);
      field.set(made, value(field.getName(), field.getGenericType(), field.get(made)));
    }
    return made;
  }

  private Object value(String name, Type type, Object present) throws Exception {
    if (type == boolean.class) return random.nextBoolean();
    if (type == byte.class) return (byte) random.nextInt();
    if (type == short.class) return name.equals("errorCode") ? (short) random.nextInt(130) : (short) random.nextInt();
    if (type == int.class) return random.nextInt();
    if (type == long.class) return random.nextLong();
    if (type == double.class) return random.nextDouble();
    if (type == String.class) return present == null && !full ? null : text();
    if (type == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
    if (type == byte[].class) {
      byte[] bytes = new byte[random.nextInt(6)];
      random.nextBytes(bytes);
      return bytes;
    }
    if (type instanceof ParameterizedType && present == null && !full) return null;
    if (type instanceof ParameterizedType) {
      Type element = ((ParameterizedType) type).getActualTypeArguments()[0];
      List<Object> list = new ArrayList<>();
      for (int i = 0; i < (full ? 2 : 0); i++) {
        Class<?> boxed = (Class<?>) element;
        list.add(
            boxed.getName().startsWith(PACKAGE) ? fill(boxed)
                : boxed == Integer.class ? (Object) random.nextInt()
                : boxed == Long.class ? (Object) random.nextLong()
                : boxed == Short.class ? (Object) (short) random.nextInt()
                : boxed == Uuid.class ? new Uuid(random.nextLong(), random.nextLong())
                : text());
      }
      return list;
    }
    if (type instanceof Class && Iterable.class.isAssignableFrom((Class<?>) type)) {
      Type parent = ((Class<?>) type).getGenericSuperclass(); // a collection with keys, of this element
      Class<?> element = (Class<?>) ((ParameterizedType) parent).getActualTypeArguments()[0];
      @SuppressWarnings("unchecked")
      java.util.Collection<Object> keyed = (java.util.Collection<Object>) ((Class<?>) type).getConstructor().newInstance();
      for (int i = 0; i < (full ? 2 : 0); i++) keyed.add(fill(element));
      return keyed;
    }
    throw new IllegalStateException(name + ": " + type);
  }

  private String text() {
    StringBuilder text = new StringBuilder();
    for (int i = random.nextInt(6); i >= 0; i--) {
      int letter = random.nextInt(27);
      text.append(letter == 26 ? 'é' : (char) ('a' + letter));
    }
    return text.toString();
  }
}
