package org.openapitools.jackson.nullable;

/** Stand-in that is enough to compile against. */
public class JsonNullableModule extends com.fasterxml.jackson.databind.module.SimpleModule {}
