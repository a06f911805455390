/*
 * The plugin interface of Throughline, version 1.0. C11 and C++17.
 *
 * A plugin is a shared library with one exported symbol, tl_plugin_init_v1, that fills a table of functions.
 * The same library runs inside the host ("thread") or in a process of its own ("process"); it cannot tell.
 * docs/plugins.md takes you from nothing to a working plugin; this file is the reference.
 *
 * Rules
 *  - Rows cross as Apache Arrow data only (https://arrow.apache.org/docs/format/CDataInterface.html), all else
 *    as UTF-8 JSON. Text is not terminated by a zero: every text has its length.
 *  - Whoever allocates supplies `release`; nobody ever frees what the other side allocated. Inputs (tl_str,
 *    const pointers) are borrowed for the call. Outputs are owned by whoever receives them, who calls `release`
 *    once. An output struct comes in zeroed; on an error only tl_error may have been filled.
 *  - Every function returns a tl_status: TL_OK, or the reason, with tl_error filled if the caller gave one.
 *  - Calls block. The host gives every reader and every writer a thread of its own; calls on one reader or
 *    writer come one after the other, never at once. Several instances may be open at once, on several threads.
 *  - No exception, panic or longjmp may leave a function. A library is never unloaded.
 *  - A function that is NULL is not offered. What each kind must offer is said in tl_plugin.
 *  - Structs only ever grow at their end. Each begins with its size as its writer knew it; what lies beyond is
 *    absent, which is the same as zero.
 */
#ifndef THROUGHLINE_PLUGIN_H
#define THROUGHLINE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 1_000_000 * major + 1_000 * minor + patch. */
#define TL_ABI_1_0 1000000u

/* What a call ended with. The host decides by it whether to try again, and shows the message to a person. */
typedef enum tl_status {
  TL_OK = 0,
  TL_CONFIG = 1,       /* an option is wrong: a person must edit; set config_pointer */
  TL_AUTH = 2,         /* credentials are missing, wrong or expired for good */
  TL_RATE_LIMITED = 3, /* the other side asks for patience; set retry_after_ms where it says how long */
  TL_NOT_FOUND = 4,    /* what was asked for does not exist */
  TL_PROTOCOL = 5,     /* the other side did not speak its protocol */
  TL_DATA = 6,         /* data is unusable or does not add up */
  TL_IO = 7,           /* disk or network */
  TL_UNSUPPORTED = 8,  /* not implemented; from tl_plugin_init_v1: not this version */
  TL_CANCELLED = 9,    /* the host asked to stop */
  TL_PANIC = 10        /* the plugin broke a promise of its own; this instance must not be used again */
} tl_status;

/* Text that belongs to the caller: valid until the call returns. */
typedef struct tl_str {
  const uint8_t *ptr; /* UTF-8; may be NULL when len is 0 */
  size_t len;         /* bytes */
} tl_str;

/* Bytes that belong to whoever receives them. */
typedef struct tl_buf {
  uint8_t *ptr;                     /* may be NULL when len is 0 */
  size_t len;                       /* bytes */
  void *owner;                      /* the allocator's own */
  void (*release)(struct tl_buf *); /* NULL when there is nothing to free; called once, from any thread */
} tl_buf;

/* The same call may succeed later. */
#define TL_ERROR_TEMPORARY 1u

/* Why a call failed. The caller zeroes it and sets struct_size; the callee fills it when it fails. */
typedef struct tl_error {
  uint32_t struct_size;
  int32_t code;           /* the tl_status that the call returned */
  int32_t http_status;    /* of the answer that caused it; 0: none */
  uint32_t flags;         /* TL_ERROR_TEMPORARY */
  int64_t retry_after_ms; /* not before this long from now; -1 or 0: not known */
  tl_buf message;         /* what was tried, on what, what was found; never a secret */
  tl_buf hint;            /* what a person should do; may be empty */
  tl_buf config_pointer;  /* RFC 6901 pointer into the options; the host points into the user's file */
} tl_error;

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

/* Severity of a log line. */
typedef enum tl_level { TL_TRACE = 0, TL_DEBUG = 1, TL_INFO = 2, TL_WARN = 3, TL_ERROR_LEVEL = 4 } tl_level;

/* What a metric is. */
typedef enum tl_metric_kind { TL_COUNTER = 0, TL_GAUGE = 1 } tl_metric_kind;

/*
 * What the host does for plugins. Lives as long as the process. `scope` is the one given to the call in which
 * the service is used; it is void when that call (for a reader or writer: its close) has returned.
 */
typedef struct tl_host {
  uint32_t struct_size;
  uint32_t abi; /* the version in use */
  void *ctx;    /* first argument of every service */

  /* A line for the host's log. `fields_json`: an object or empty. */
  void (*log)(void *ctx, void *scope, int32_t level, tl_str message, tl_str fields_json);

  /* A number to count or to show. `labels_json`: an object of texts or empty. */
  void (*metric)(void *ctx, void *scope, tl_str name, int32_t kind, double value, tl_str labels_json);

  /* Not 0 once the host wants the call to end. Cheap: ask often. */
  int32_t (*cancelled)(void *ctx, void *scope);

  /* Waits; TL_CANCELLED when woken to stop. The host's clock may be a test's, which does not wait. */
  int32_t (*sleep_ms)(void *ctx, void *scope, uint64_t ms);

  /* Milliseconds since 1970-01-01 UTC. Ask no other clock: a replayed run has another time. */
  int64_t (*now_ms)(void *ctx, void *scope);

  /* The secret that stands in the options as {"$secret": NAME}. */
  int32_t (*secret)(void *ctx, void *scope, tl_str name, tl_buf *value, tl_error *error);

  /*
   * One HTTP exchange, by the host: TLS, proxy, rate limits shared by all who name the same account,
   * Retry-After, retries, redaction, recording and replaying.
   * request_json: {"method": "GET", "url": "https://..", "headers": [["name", "value"]],
   *   "account": {"key": "vendor:account", "per_second": 5, "burst": 5, "parallel": 2},
   *   "idempotent": true, "timeout_ms": 60000, "attempts": 6, "max_response_bytes": 67108864,
   *   "accept": [404]}
   * All but method and url may be absent. An answer of 2xx, and of the status numbers in "accept", is TL_OK;
   * every other one is an error, after the retries that make sense.
   * head_json: {"status": 200, "headers": [["name", "value"]], "exchange": 17}
   */
  int32_t (*http)(void *ctx, void *scope, tl_str request_json, tl_str body, tl_buf *head_json, tl_buf *body_out,
                  tl_error *error);
} tl_host;

/* What read_next brought. */
typedef enum tl_event_kind {
  TL_END = 0,        /* nothing follows: the stream is complete as far as can be known */
  TL_BATCH = 1,      /* rows; json: {"page": "page 3", "exchange": 17}, both may be absent */
  TL_CHECKPOINT = 2, /* json, any value: all events before it can be committed; reading may go on from it */
  TL_REJECTED = 3,   /* a record that cannot be used: {"reason": "..", "place": "page 3, record 7", "raw": ".."} */
  TL_NOTICE = 4,     /* for a person, no error: {"code": "stable_name", "message": ".."} */
  TL_COUNT = 5,      /* the vendor's own total: {"what": "..", "expected": 10, "read": 10} */
  TL_TOTAL = 6,      /* how much there will be, for the progress bar: 1000 */
  TL_WINDOW_BEGIN = 7,  /* rows to WINDOW_END replace the days from..to: {"id": "..", "from_on": 20000, "to_on": 20007} */
  TL_WINDOW_END = 8,    /* {"id": ".."} */
  TL_REPLACE_BEGIN = 9, /* rows to REPLACE_END replace the slice: {"id": "..", "slice": ".."} */
  TL_REPLACE_END = 10   /* {"id": ".."} */
} tl_event_kind;

/* One event of a reader. The host zeroes it and sets struct_size. */
typedef struct tl_event {
  uint32_t struct_size;
  int32_t kind;              /* tl_event_kind */
  struct ArrowArray array;   /* of TL_BATCH: a struct array, its fields the columns */
  struct ArrowSchema schema; /* of TL_BATCH: with the first batch, and whenever it changes; else released */
  tl_buf json;               /* by kind, see above */
} tl_event;

typedef struct tl_instance tl_instance; /* a source or sink with its options */
typedef struct tl_reader tl_reader;     /* one read of one stream */
typedef struct tl_writer tl_writer;     /* one table on its way into a sink */

/*
 * The table a plugin fills. The host allocates it, zeroes it and sets struct_size; the plugin fills what it
 * knows within that size and sets struct_size and abi to its own.
 */
typedef struct tl_plugin {
  uint32_t struct_size;
  uint32_t abi;
  void *priv; /* the plugin's own */

  /*
   * Both kinds. {"name": "acme_crm", "kind": "source" or "sink", "version": "0.1.0", "summary": "one line",
   * "readme": "Markdown", "license": "Apache-2.0", "min_host": "0.1.0",
   * "config_schema": JSON Schema of the options; the host refuses keys it does not have, required ones that are
   * missing, and values of another "type"; a property with "secret": true must be a secret,
   * and one with "format": "path" becomes absolute, from the pipeline's folder. "streams": [..] with default options (sources),
   * "guarantee": "exactly-once" or "at-least-once" (sinks)}
   */
  int32_t (*manifest)(struct tl_plugin *, tl_buf *json, tl_error *);

  /* Both. Checks the options and keeps them. Asks nobody: no network, no files beside those options name. */
  int32_t (*open)(struct tl_plugin *, void *scope, tl_str config_json, tl_instance **, tl_error *);

  /* Both. Whether credentials and rights suffice: {"facts": [["what", "value"]], "warnings": [".."]} */
  int32_t (*check)(tl_instance *, void *scope, tl_buf *report_json, tl_error *);

  /*
   * Sources. The streams known without asking the vendor: {"streams": [{"name": "deals", "doc": "..",
   * "key": ["id"], "columns": [{"name": "id", "type": "int", "doc": ".."}], "restates": null,
   * "capabilities": {"incremental": true, "resumable": true}}]}
   * Types: text, int, uint, decimal, float, bool, instant, date, json, text_list.
   */
  int32_t (*catalog)(tl_instance *, tl_buf *catalog_json, tl_error *);

  /* Sources, optional. The same after asking the vendor. */
  int32_t (*discover)(tl_instance *, void *scope, tl_buf *catalog_json, tl_error *);

  /*
   * Sources. How streams become canonical tables: [{"into": "deals", "from": ["deals"], "sql": "SELECT ..",
   * "origin": "mapping/deals.sql", "params": {"name": "text, number, true or null"}}]. May be [].
   */
  int32_t (*mappings)(tl_instance *, tl_buf *mappings_json, tl_error *);

  /*
   * Sources. request_json: {"stream": "deals", "from_us": null, "to_us": null, "max_pages": null}; instants in
   * microseconds since 1970 UTC, given only for a backfill. `checkpoint`: where to go on, empty: from the start.
   */
  int32_t (*read_open)(tl_instance *, void *scope, tl_str request_json, tl_str checkpoint, tl_reader **, tl_error *);

  /* Sources. The next event. Not called again after TL_END or an error. */
  int32_t (*read_next)(tl_reader *, tl_event *, tl_error *);

  /* Sources. Ends a read at any time. */
  void (*read_close)(tl_reader *);

  /*
   * Sources, optional. What stands before the checkpoint is durable here: it may be acknowledged or deleted
   * upstream. May come again with the same checkpoint, and from another process than the read.
   */
  int32_t (*committed)(tl_instance *, void *scope, tl_str stream, tl_str checkpoint, tl_error *);

  /*
   * Sinks. Begins to write one table where its readers do not see it. table_json: {"name": "deals",
   * "key": ["deal_id"], "partition_by": null, "doc": ".."}. The same table again under the same `txn` replaces
   * what was staged. The schema is borrowed.
   */
  int32_t (*write_open)(tl_instance *, void *scope, tl_str table_json, const struct ArrowSchema *, tl_str txn,
                        tl_writer **, tl_error *);

  /*
   * Sinks. Takes over the batch (a struct array); its release is the plugin's to call, also after an error.
   * rejects_json: left empty, or [{"row": 3, "reason": ".."}] for rows of this batch that the destination
   * cannot hold: the host stops the epoch and names them.
   */
  int32_t (*write_batch)(tl_writer *, struct ArrowArray *, tl_buf *rejects_json, tl_error *);

  /* Sinks. All is written: makes it durable. committable_json: {"rows": 10, "detail": any}; no secrets. */
  int32_t (*write_prepare)(tl_writer *, tl_buf *committable_json, tl_error *);

  /* Sinks. Ends a write at any time; what was not prepared is dropped. */
  void (*write_close)(tl_writer *);

  /*
   * Sinks. Shows all tables of the transaction at once. committables_json: [{"table": "deals", "rows": 10,
   * "detail": ..}]. Callable by a fresh process; again without effect when done.
   * receipt_json: {"rows": 10, "location": "where a person finds it"}
   */
  int32_t (*commit)(tl_instance *, void *scope, tl_str txn, tl_str committables_json, tl_buf *receipt_json,
                    tl_error *);

  /* Sinks. Drops what was staged under the transaction; TL_OK when there is nothing. */
  int32_t (*abort)(tl_instance *, void *scope, tl_str txn, tl_error *);

  /* Both, optional. Asks whatever runs on the instance to end soon. From any thread, any number of times. */
  void (*cancel)(tl_instance *);

  /* Both. After all readers and writers are closed. */
  void (*close)(tl_instance *);
} tl_plugin;

/*
 * The one exported symbol. The host calls with its highest version first; a plugin that does not know it
 * returns TL_UNSUPPORTED and leaves the table as it is, and is asked again with a lower one.
 * `host` stays valid for ever.
 */
#if defined(_WIN32)
__declspec(dllexport)
#elif defined(__GNUC__)
__attribute__((visibility("default")))
#endif
int32_t tl_plugin_init_v1(uint32_t host_abi, const tl_host *host, tl_plugin *out, tl_error *error);

#ifdef __cplusplus
}
#endif

#endif /* THROUGHLINE_PLUGIN_H */
