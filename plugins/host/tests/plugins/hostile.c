/* A source that breaks the interface itself, in ways a safe kit does not let happen. */
#include "throughline_plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tl_instance {
  char misdeed[64];
};
struct tl_reader {
  tl_instance *instance;
};

static void give(tl_buf *out, const char *text) {
  /* Constant text needs no release. */
  out->ptr = (uint8_t *)(uintptr_t)text;
  out->len = strlen(text);
}

static int32_t manifest(tl_plugin *plugin, tl_buf *json, tl_error *error) {
  (void)plugin;
  (void)error;
  give(json, "{\"name\":\"hostile_c\",\"kind\":\"source\",\"config_schema\":{\"type\":\"object\"}}");
  return TL_OK;
}

static int32_t open_(tl_plugin *plugin, void *scope, tl_str config, tl_instance **out, tl_error *error) {
  (void)plugin;
  (void)scope;
  (void)error;
  tl_instance *instance = calloc(1, sizeof *instance);
  if (instance == NULL) return TL_IO;
  const char *key = "\"misdeed\":\"";
  const char *at = config.len > 0 ? strstr((const char *)config.ptr, key) : NULL;
  for (size_t i = 0; at != NULL && i < sizeof instance->misdeed - 1; i++) {
    char c = at[strlen(key) + i];
    if (c == '"') break;
    instance->misdeed[i] = c;
  }
  *out = instance;
  return TL_OK;
}

static int32_t check(tl_instance *instance, void *scope, tl_buf *json, tl_error *error) {
  (void)instance;
  (void)scope;
  (void)error;
  give(json, "{}");
  return TL_OK;
}

static int32_t catalog(tl_instance *instance, tl_buf *json, tl_error *error) {
  (void)error;
  give(json, strcmp(instance->misdeed, "a catalog that is none") == 0 ? "{\"streams\": 7}" : "{\"streams\": []}");
  return TL_OK;
}

static int32_t mappings(tl_instance *instance, tl_buf *json, tl_error *error) {
  (void)instance;
  (void)error;
  give(json, "[]");
  return TL_OK;
}

static int is(tl_instance *instance, const char *misdeed) { return strcmp(instance->misdeed, misdeed) == 0; }

static int32_t read_open(tl_instance *instance, void *scope, tl_str request, tl_str checkpoint, tl_reader **out,
                         tl_error *error) {
  (void)scope;
  (void)request;
  (void)checkpoint;
  (void)error;
  if (is(instance, "no reader and no error")) return TL_OK;
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return TL_IO;
  (*out)->instance = instance;
  return TL_OK;
}

static void nothing_array(struct ArrowArray *array) { array->release = NULL; }
static void nothing_schema(struct ArrowSchema *schema) { schema->release = NULL; }

/* One column of three numbers, and a schema for it, before the misdeed. */
static void good_batch(tl_event *event) {
  static int64_t values[] = {1, 2, 3};
  static const void *buffers[] = {NULL, values}, *none[] = {NULL};
  static struct ArrowArray column;
  static struct ArrowArray *columns[] = {&column};
  static struct ArrowSchema field;
  static struct ArrowSchema *fields[] = {&field};
  memset(&column, 0, sizeof column);
  column.length = 3;
  column.n_buffers = 2;
  column.buffers = buffers;
  column.release = nothing_array;
  event->array.length = 3;
  event->array.n_buffers = 1;
  event->array.buffers = none;
  event->array.n_children = 1;
  event->array.children = columns;
  event->array.release = nothing_array;
  memset(&field, 0, sizeof field);
  field.format = "l";
  field.name = "n";
  field.flags = ARROW_FLAG_NULLABLE;
  field.release = nothing_schema;
  event->schema.format = "+s";
  event->schema.name = "";
  event->schema.n_children = 1;
  event->schema.children = fields;
  event->schema.release = nothing_schema;
}

static int32_t read_next(tl_reader *reader, tl_event *event, tl_error *error) {
  (void)error;
  tl_instance *i = reader->instance;
  event->kind = TL_BATCH;
  if (is(i, "a status that is none")) return 77;
  if (is(i, "an error without a message")) return TL_DATA;
  if (is(i, "an event of an unknown kind")) {
    event->kind = 99;
    return TL_OK;
  }
  if (is(i, "JSON that is none")) {
    event->kind = TL_CHECKPOINT;
    give(&event->json, "{\"half\":");
    return TL_OK;
  }
  if (is(i, "a batch without an array")) return TL_OK;
  good_batch(event);
  if (is(i, "no schema with the first batch")) event->schema.release = NULL;
  if (is(i, "a schema with another type")) event->schema.children[0]->format = "u";
  if (is(i, "a schema with a type that is none")) event->schema.children[0]->format = "?";
  if (is(i, "fewer columns than the schema")) event->array.n_children = 0;
  if (is(i, "a negative length")) event->array.children[0]->length = -3;
  if (is(i, "columns of different length")) event->array.children[0]->length = 2;
  return TL_OK;
}

static void read_close(tl_reader *reader) { free(reader); }
static void close_(tl_instance *instance) { free(instance); }

int32_t tl_plugin_init_v1(uint32_t host_abi, const tl_host *host, tl_plugin *out, tl_error *error) {
  (void)host;
  (void)error;
  if (host_abi / 1000000 != 1) return TL_UNSUPPORTED;
  out->struct_size = sizeof(tl_plugin);
  out->abi = TL_ABI_1_0;
  out->manifest = manifest;
  out->open = open_;
  out->check = check;
  out->catalog = catalog;
  out->mappings = mappings;
  out->read_open = read_open;
  out->read_next = read_next;
  out->read_close = read_close;
  out->close = close_;
  return TL_OK;
}
