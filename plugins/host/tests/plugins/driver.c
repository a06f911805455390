/* The smallest host: loads a plugin, reads it whole, stops in the middle, provokes errors, releases everything. */
#define _GNU_SOURCE
#include "throughline_plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tl_str text(const char *t) {
  tl_str s = {(const uint8_t *)t, strlen(t)};
  return s;
}

static void free_buf(tl_buf *buf) {
  if (buf->release != NULL) buf->release(buf);
}

static void need(int yes, const char *what) {
  if (!yes) {
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
  }
}

static int errors;

static void expect_error(int32_t code, tl_error *error) {
  need(code != TL_OK && error->message.len > 0, "an error with a message");
  errors++;
  free_buf(&error->message);
  free_buf(&error->hint);
  free_buf(&error->config_pointer);
  memset(error, 0, sizeof *error);
  error->struct_size = sizeof *error;
}

int main(int argc, char **argv) {
  need(argc == 2, "driver LIBRARY");
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  need(library != NULL, "dlopen");
  int32_t (*init)(uint32_t, const tl_host *, tl_plugin *, tl_error *);
  *(void **)&init = dlsym(library, "tl_plugin_init_v1");
  need(init != NULL, "the symbol");
  tl_host host = {.struct_size = sizeof host, .abi = TL_ABI_1_0};
  tl_plugin plugin = {.struct_size = sizeof plugin};
  tl_error error = {.struct_size = sizeof error};
  need(init(TL_ABI_1_0, &host, &plugin, &error) == TL_OK, "init");
  tl_buf json = {0};
  need(plugin.manifest(&plugin, &json, &error) == TL_OK && json.len > 0, "manifest");
  free_buf(&json);

  tl_instance *instance = NULL;
  expect_error(plugin.open(&plugin, NULL, text("{\"last\":-7}"), &instance, &error), &error);
  need(plugin.open(&plugin, NULL, text("{\"last\":10,\"batch\":4}"), &instance, &error) == TL_OK, "open");
  need(plugin.catalog(instance, &json, &error) == TL_OK, "catalog");
  free_buf(&json);
  tl_reader *reader = NULL;
  expect_error(plugin.read_open(instance, NULL, text("{}"), text("[]"), &reader, &error), &error);

  long rows = 0, checkpoints = 0;
  for (int stop_early = 0; stop_early < 2; stop_early++) {
    need(plugin.read_open(instance, NULL, text("{\"stream\":\"numbers\"}"), text(""), &reader, &error) == TL_OK, "read");
    for (;;) {
      tl_event event = {.struct_size = sizeof event};
      need(plugin.read_next(reader, &event, &error) == TL_OK, "next");
      int32_t kind = event.kind;
      if (kind == TL_BATCH) {
        /* Every byte that the batch names is looked at. */
        const int64_t *numbers = event.array.children[0]->buffers[1];
        const int32_t *offsets = event.array.children[1]->buffers[1];
        const char *words = event.array.children[1]->buffers[2];
        long sum = 0;
        for (int64_t i = 0; i < event.array.length; i++) sum += numbers[i];
        for (int32_t i = 0; i < offsets[event.array.length]; i++) sum += words[i];
        need(sum != 0, "values");
        if (!stop_early) rows += event.array.length;
      }
      if (kind == TL_CHECKPOINT && !stop_early) checkpoints++;
      free_buf(&event.json);
      if (event.array.release != NULL) event.array.release(&event.array);
      if (event.schema.release != NULL) event.schema.release(&event.schema);
      if (kind == TL_END || stop_early) break;
    }
    plugin.read_close(reader);
  }
  plugin.close(instance);
  printf("%ld rows, %ld checkpoints, %d errors\n", rows, checkpoints, errors);
  return 0;
}
