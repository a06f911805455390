/*
 * A source in plain C11: counts from 1 to "last", "batch" rows at a time, with a checkpoint after every batch.
 *
 *   gcc -std=c11 -O2 -fPIC -shared -I../../abi/include counter.c -o libcounter.so
 *
 * It has what every plugin has: memory that is given away with a function to release it, options that are looked
 * at, errors with a place in the options. It reads its few options without a JSON library; use one for more.
 */
#include "throughline_plugin.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- memory that is given away ------------------------------------------------------------------------- */

static void release_buf(tl_buf *buf) {
  free(buf->ptr);
  memset(buf, 0, sizeof *buf);
}

static void give(tl_buf *out, const char *text) {
  size_t len = strlen(text);
  uint8_t *copy = malloc(len ? len : 1);
  if (copy == NULL) return; /* an empty answer is told as one that is none */
  memcpy(copy, text, len);
  out->ptr = copy;
  out->len = len;
  out->release = release_buf;
}

static int32_t fail(tl_error *error, int32_t code, const char *message, const char *pointer) {
  if (error != NULL && error->struct_size >= sizeof *error) {
    error->code = code;
    give(&error->message, message);
    if (pointer != NULL) give(&error->config_pointer, pointer);
  }
  return code;
}

/* --- options ------------------------------------------------------------------------------------------- */

struct tl_instance {
  int64_t last, batch;
};

struct tl_reader {
  int64_t next, last, batch;
  bool begun, checkpoint_due;
};

/* The whole number behind "name": in a JSON object of numbers, or `otherwise`. */
static bool number(const char *json, const char *name, int64_t otherwise, int64_t *out) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = strstr(json, key);
  if (at == NULL) {
    *out = otherwise;
    return true;
  }
  char *end;
  *out = strtoll(at + strlen(key), &end, 10);
  return end != at + strlen(key) && (*end == ',' || *end == '}');
}

static char *terminated(tl_str text) {
  char *copy = malloc(text.len + 1);
  if (copy == NULL) return NULL;
  if (text.len > 0) memcpy(copy, text.ptr, text.len);
  copy[text.len] = '\0';
  return copy;
}

#define STREAMS                                                                                          \
  "\"streams\":[{\"name\":\"numbers\",\"doc\":\"1, 2, 3 ..\",\"key\":[\"n\"],\"columns\":["                      \
  "{\"name\":\"n\",\"type\":\"int\",\"doc\":\"The number.\"},"                                                 \
  "{\"name\":\"word\",\"type\":\"text\",\"doc\":\"It in words.\"}],"                                           \
  "\"capabilities\":{\"incremental\":true,\"resumable\":true,\"count\":true}}]"

static int32_t manifest(tl_plugin *plugin, tl_buf *json, tl_error *error) {
  (void)plugin;
  (void)error;
  give(json,
       "{\"name\":\"counter\",\"kind\":\"source\",\"version\":\"0.1.0\",\"summary\":\"Counts, in plain C\","
       "\"readme\":\"# Counter\\n\\nAn example: see docs/plugins.md.\\n\",\"license\":\"Apache-2.0\",\"min_host\":\"0.1.0\","
       "\"config_schema\":{\"type\":\"object\",\"properties\":{"
       "\"last\":{\"type\":\"integer\",\"minimum\":0,\"default\":10,\"description\":\"The last number.\"},"
       "\"batch\":{\"type\":\"integer\",\"minimum\":1,\"default\":4,\"description\":\"Rows a batch.\"}}},"
       STREAMS "}");
  return TL_OK;
}

static int32_t open_(tl_plugin *plugin, void *scope, tl_str config, tl_instance **out, tl_error *error) {
  (void)plugin;
  (void)scope;
  char *json = terminated(config);
  tl_instance *instance = calloc(1, sizeof *instance);
  if (json == NULL || instance == NULL) {
    free(json);
    free(instance);
    return fail(error, TL_IO, "out of memory", NULL);
  }
  int32_t code = TL_OK;
  if (!number(json, "last", 10, &instance->last) || instance->last < 0) {
    code = fail(error, TL_CONFIG, "last is a whole number from 0", "/last");
  } else if (!number(json, "batch", 4, &instance->batch) || instance->batch < 1 || instance->batch > 1000000) {
    code = fail(error, TL_CONFIG, "batch is a whole number from 1 to 1000000", "/batch");
  }
  free(json);
  if (code == TL_OK) {
    *out = instance;
  } else {
    free(instance);
  }
  return code;
}

static int32_t check(tl_instance *instance, void *scope, tl_buf *report, tl_error *error) {
  (void)scope;
  (void)error;
  char json[96];
  snprintf(json, sizeof json, "{\"facts\":[[\"last\",\"%lld\"]],\"warnings\":[]}", (long long)instance->last);
  give(report, json);
  return TL_OK;
}

static int32_t catalog(tl_instance *instance, tl_buf *json, tl_error *error) {
  (void)instance;
  (void)error;
  give(json, "{" STREAMS "}");
  return TL_OK;
}

static int32_t mappings(tl_instance *instance, tl_buf *json, tl_error *error) {
  (void)instance;
  (void)error;
  give(json, "[]");
  return TL_OK;
}

/* --- rows as Arrow data -------------------------------------------------------------------------------- */

/* What an array or schema of ours holds; released with it. */
typedef struct {
  void *blocks[6];
  int n;
} held;

static void *hold(held *h, size_t size) {
  void *block = malloc(size ? size : 1);
  if (block != NULL && h->n < 6) h->blocks[h->n++] = block;
  return block;
}

static void let_go(held *h) {
  if (h == NULL) return;
  for (int i = 0; i < h->n; i++) free(h->blocks[i]);
  free(h);
}

static void release_array(struct ArrowArray *array) {
  for (int64_t i = 0; i < array->n_children; i++) {
    struct ArrowArray *child = array->children[i];
    if (child->release != NULL) child->release(child);
    free(child);
  }
  free(array->children);
  let_go(array->private_data);
  array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema) {
  for (int64_t i = 0; i < schema->n_children; i++) {
    struct ArrowSchema *child = schema->children[i];
    if (child->release != NULL) child->release(child);
    free(child);
  }
  free(schema->children);
  schema->release = NULL;
}

static bool make_schema(struct ArrowSchema *out) {
  static const char *names[] = {"n", "word"}, *formats[] = {"l", "u"};
  memset(out, 0, sizeof *out);
  out->format = "+s";
  out->name = "";
  out->release = release_schema;
  out->children = calloc(2, sizeof *out->children);
  if (out->children == NULL) return false;
  for (int i = 0; i < 2; i++) {
    struct ArrowSchema *child = calloc(1, sizeof *child);
    if (child == NULL) return false;
    child->format = formats[i];
    child->name = names[i];
    child->flags = ARROW_FLAG_NULLABLE;
    child->release = release_schema;
    out->children[out->n_children++] = child;
  }
  return true;
}

/* An array of `length` values in `buffers` buffers, the first of them (validity) absent. */
static bool column(struct ArrowArray *table, held *memory, int64_t length, int64_t buffers) {
  struct ArrowArray *child = calloc(1, sizeof *child);
  if (child == NULL) {
    let_go(memory);
    return false;
  }
  child->length = length;
  child->n_buffers = buffers;
  child->private_data = memory;
  child->release = release_array;
  table->children[table->n_children++] = child;
  child->buffers = hold(memory, (size_t)buffers * sizeof(void *));
  if (child->buffers == NULL) return false;
  child->buffers[0] = NULL;
  return true;
}

static bool make_array(struct ArrowArray *out, int64_t first, int64_t length) {
  memset(out, 0, sizeof *out);
  out->length = length;
  out->n_buffers = 1;
  out->release = release_array;
  held *own = calloc(1, sizeof *own);
  if (own == NULL) return false;
  out->private_data = own;
  out->buffers = hold(own, sizeof(void *));
  out->children = calloc(2, sizeof *out->children);
  if (out->buffers == NULL || out->children == NULL) return false;
  out->buffers[0] = NULL;

  held *numbers = calloc(1, sizeof *numbers);
  if (numbers == NULL || !column(out, numbers, length, 2)) return false;
  int64_t *values = hold(numbers, (size_t)length * sizeof(int64_t));
  if (values == NULL) return false;
  for (int64_t i = 0; i < length; i++) values[i] = first + i;
  out->children[0]->buffers[1] = values;

  held *words = calloc(1, sizeof *words);
  if (words == NULL || !column(out, words, length, 3)) return false;
  int32_t *offsets = hold(words, ((size_t)length + 1) * sizeof(int32_t));
  char *text = hold(words, (size_t)length * 24);
  if (offsets == NULL || text == NULL) return false;
  offsets[0] = 0;
  for (int64_t i = 0; i < length; i++) {
    int written = snprintf(text + offsets[i], 24, "№ %lld", (long long)(first + i));
    offsets[i + 1] = offsets[i] + written;
  }
  out->children[1]->buffers[1] = offsets;
  out->children[1]->buffers[2] = text;
  return true;
}

/* --- reading ------------------------------------------------------------------------------------------- */

static int32_t read_open(tl_instance *instance, void *scope, tl_str request, tl_str checkpoint, tl_reader **out,
                         tl_error *error) {
  (void)scope;
  (void)request;
  tl_reader *reader = calloc(1, sizeof *reader);
  if (reader == NULL) return fail(error, TL_IO, "out of memory", NULL);
  reader->last = instance->last;
  reader->batch = instance->batch;
  reader->next = 1;
  reader->begun = checkpoint.len == 0;
  if (checkpoint.len > 0) {
    char *json = terminated(checkpoint);
    int64_t read = 0;
    bool good = json != NULL && number(json, "read", -1, &read) && read >= 0;
    free(json);
    if (!good) {
      free(reader);
      return fail(error, TL_DATA, "the checkpoint is not one of this plugin", NULL);
    }
    reader->next = read + 1;
  }
  *out = reader;
  return TL_OK;
}

static int32_t read_next(tl_reader *reader, tl_event *event, tl_error *error) {
  char json[96];
  if (reader->checkpoint_due) {
    reader->checkpoint_due = false;
    snprintf(json, sizeof json, "{\"read\":%lld}", (long long)(reader->next - 1));
    event->kind = TL_CHECKPOINT;
    give(&event->json, json);
    return TL_OK;
  }
  if (reader->next > reader->last) {
    if (reader->begun) {
      reader->begun = false;
      snprintf(json, sizeof json, "{\"what\":\"numbers\",\"expected\":%lld,\"read\":%lld}", (long long)reader->last,
               (long long)reader->last);
      event->kind = TL_COUNT;
      give(&event->json, json);
    } else {
      event->kind = TL_END;
    }
    return TL_OK;
  }
  int64_t length = reader->last - reader->next + 1;
  if (length > reader->batch) length = reader->batch;
  if (!make_array(&event->array, reader->next, length) || !make_schema(&event->schema)) {
    return fail(error, TL_IO, "out of memory", NULL); /* the host releases what is there */
  }
  event->kind = TL_BATCH;
  reader->next += length;
  reader->checkpoint_due = true;
  return TL_OK;
}

static void read_close(tl_reader *reader) { free(reader); }

static void close_(tl_instance *instance) { free(instance); }

/* --- the one symbol ------------------------------------------------------------------------------------ */

int32_t tl_plugin_init_v1(uint32_t host_abi, const tl_host *host, tl_plugin *out, tl_error *error) {
  (void)host;
  if (host_abi / 1000000 != 1 || out->struct_size < sizeof(tl_plugin)) {
    return fail(error, TL_UNSUPPORTED, "this plugin speaks version 1.0 of the interface", NULL);
  }
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
