package org.openapitools.jackson.nullable;

/** Stand-in for org.openapitools:jackson-databind-nullable, enough to compile against. */
public final class JsonNullable<T> {
  private T value;

  public static <T> JsonNullable<T> undefined() {
    return new JsonNullable<>();
  }

  public static <T> JsonNullable<T> of(T value) {
    JsonNullable<T> nullable = new JsonNullable<>();
    nullable.value = value;
    return nullable;
  }

  public T get() {
    return value;
  }

  public T orElse(T other) {
    return value == null ? other : value;
  }

  public boolean isPresent() {
    return value != null;
  }
}
