/*
 * A source in C++17: phone calls from a file of tab-separated lines: id, instant (ms since 1970 UTC), phone, seconds.
 *
 *   g++ -std=c++17 -O2 -fPIC -shared -I../../abi/include calls.cpp -o libcalls.so
 *
 * C++ brings what C lacks: memory that frees itself, and exceptions, which stop at the border.
 */
#include "throughline_plugin.h"

#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr const char *STREAMS =
    R"("streams":[{"name":"calls","doc":"Calls of a telephone exchange.","key":["id"],"columns":[
      {"name":"id","type":"text","doc":"Number of the call."},
      {"name":"at_ms","type":"int","doc":"When it began, ms since 1970 UTC."},
      {"name":"phone","type":"text","doc":"Who called."},
      {"name":"seconds","type":"int","doc":"How long it took."}],
      "capabilities":{"incremental":true,"resumable":true}}])";

constexpr std::size_t BATCH = 4096;

/* What a person should read, and where in the options it is. */
struct Problem : std::runtime_error {
  int32_t code;
  std::string pointer;
  Problem(int32_t code, const std::string &what, std::string pointer = "")
      : std::runtime_error(what), code(code), pointer(std::move(pointer)) {}
};

void give(tl_buf *out, const std::string &text) {
  auto *owner = new std::string(text);
  out->ptr = reinterpret_cast<uint8_t *>(owner->data());
  out->len = owner->size();
  out->owner = owner;
  out->release = [](tl_buf *buf) {
    delete static_cast<std::string *>(buf->owner);
    *buf = tl_buf{};
  };
}

/* Runs one function; no exception may leave it. */
template <typename F> int32_t guarded(tl_error *error, F run) {
  Problem problem(TL_OK, "");
  try {
    run();
    return TL_OK;
  } catch (const Problem &p) {
    problem = p;
  } catch (const std::exception &e) {
    problem = Problem(TL_PANIC, e.what());
  } catch (...) {
    problem = Problem(TL_PANIC, "an exception without words");
  }
  if (error != nullptr && error->struct_size >= sizeof(tl_error)) {
    error->code = problem.code;
    try {
      give(&error->message, problem.what());
      if (!problem.pointer.empty()) give(&error->config_pointer, problem.pointer);
    } catch (...) {
      /* Out of memory: the status alone has to do. */
    }
  }
  return problem.code;
}

/* The text behind "name": in a flat JSON object; escapes but \" and \\ are not looked at. */
std::string text_option(const std::string &json, const std::string &name) {
  const auto key = "\"" + name + "\":\"";
  auto at = json.find(key);
  if (at == std::string::npos) throw Problem(TL_CONFIG, name + " is missing", "");
  std::string value;
  for (at += key.size(); at < json.size() && json[at] != '"'; ++at) {
    if (json[at] == '\\' && at + 1 < json.size()) ++at;
    value += json[at];
  }
  return value;
}

struct Columns {
  std::vector<std::string> id, phone;
  std::vector<int64_t> at_ms, seconds;
};

/* One column's memory: its numbers, or its offsets and bytes. */
struct Values {
  std::vector<int64_t> numbers;
  std::vector<int32_t> offsets;
  std::string bytes;
  std::vector<const void *> buffers;
};

struct Table {
  std::vector<const void *> buffers{nullptr};
  std::vector<std::unique_ptr<Values>> values;
  std::vector<ArrowArray> children;
  std::vector<ArrowArray *> pointers;
};

ArrowArray array_of(std::unique_ptr<Values> values, std::size_t length, Table &table) {
  ArrowArray array{};
  array.length = static_cast<int64_t>(length);
  array.n_buffers = static_cast<int64_t>(values->buffers.size());
  array.buffers = values->buffers.data();
  array.release = [](ArrowArray *own) { own->release = nullptr; }; /* the table owns the memory */
  table.values.push_back(std::move(values));
  return array;
}

ArrowArray texts(const std::vector<std::string> &from, Table &table) {
  auto values = std::make_unique<Values>();
  values->offsets.push_back(0);
  for (const auto &text : from) {
    values->bytes += text;
    values->offsets.push_back(static_cast<int32_t>(values->bytes.size()));
  }
  values->buffers = {nullptr, values->offsets.data(), values->bytes.data()};
  return array_of(std::move(values), from.size(), table);
}

ArrowArray numbers(std::vector<int64_t> from, Table &table) {
  auto values = std::make_unique<Values>();
  const auto length = from.size();
  values->numbers = std::move(from);
  values->buffers = {nullptr, values->numbers.data()};
  return array_of(std::move(values), length, table);
}

void give_rows(tl_event *event, Columns columns) {
  auto table = std::make_unique<Table>();
  const auto length = static_cast<int64_t>(columns.id.size());
  table->children = {texts(columns.id, *table), numbers(std::move(columns.at_ms), *table), texts(columns.phone, *table),
                     numbers(std::move(columns.seconds), *table)};
  for (auto &child : table->children) table->pointers.push_back(&child);
  ArrowArray array{};
  array.length = length;
  array.n_buffers = 1;
  array.buffers = table->buffers.data();
  array.n_children = 4;
  array.children = table->pointers.data();
  array.private_data = table.release();
  array.release = [](ArrowArray *own) {
    delete static_cast<Table *>(own->private_data);
    own->release = nullptr;
  };
  event->array = array;

  static const char *names[] = {"id", "at_ms", "phone", "seconds"}, *formats[] = {"u", "l", "u", "l"};
  struct Fields {
    ArrowSchema children[4];
    ArrowSchema *pointers[4];
  };
  auto *fields = new Fields{};
  for (int i = 0; i < 4; ++i) {
    fields->children[i].format = formats[i];
    fields->children[i].name = names[i];
    fields->children[i].flags = ARROW_FLAG_NULLABLE;
    fields->children[i].release = [](ArrowSchema *own) { own->release = nullptr; };
    fields->pointers[i] = &fields->children[i];
  }
  ArrowSchema schema{};
  schema.format = "+s";
  schema.name = "";
  schema.n_children = 4;
  schema.children = fields->pointers;
  schema.private_data = fields;
  schema.release = [](ArrowSchema *own) {
    delete static_cast<Fields *>(own->private_data);
    own->release = nullptr;
  };
  event->schema = schema;
}

std::string text_of(tl_str text) {
  return text.len == 0 ? std::string() : std::string(reinterpret_cast<const char *>(text.ptr), text.len);
}

} // namespace

struct tl_instance {
  std::string path;
};

struct tl_reader {
  std::ifstream file;
  std::string path;
  std::size_t line = 0;   /* read so far */
  bool checkpoint_due = false;
};

extern "C" {

static int32_t manifest(tl_plugin *, tl_buf *json, tl_error *error) {
  return guarded(error, [&] {
    give(json, std::string(R"({"name":"calls","kind":"source","version":"0.1.0",
      "summary":"Phone calls from a file, in C++","readme":"# Calls\n\nAn example: see docs/plugins.md.\n",
      "license":"Apache-2.0","min_host":"0.1.0","config_schema":{"type":"object","required":["path"],"properties":{
      "path":{"type":"string","format":"path","description":"File of tab-separated lines: id, ms, phone, seconds."}}},)") +
                   STREAMS + "}");
  });
}

static int32_t open_(tl_plugin *, void *, tl_str config, tl_instance **out, tl_error *error) {
  return guarded(error, [&] {
    const auto json = text_of(config);
    *out = new tl_instance{text_option(json, "path")};
  });
}

static int32_t check(tl_instance *instance, void *, tl_buf *report, tl_error *error) {
  return guarded(error, [&] {
    if (!std::ifstream(instance->path)) throw Problem(TL_CONFIG, "cannot read " + instance->path, "/path");
    give(report, R"({"facts":[],"warnings":[]})");
  });
}

static int32_t catalog(tl_instance *, tl_buf *json, tl_error *error) {
  return guarded(error, [&] { give(json, std::string("{") + STREAMS + "}"); });
}

static int32_t mappings(tl_instance *, tl_buf *json, tl_error *error) {
  return guarded(error, [&] { give(json, "[]"); });
}

static int32_t read_open(tl_instance *instance, void *, tl_str, tl_str checkpoint, tl_reader **out, tl_error *error) {
  return guarded(error, [&] {
    auto reader = std::make_unique<tl_reader>();
    reader->path = instance->path;
    reader->file.open(instance->path);
    if (!reader->file) throw Problem(TL_IO, "cannot read " + instance->path);
    std::size_t skip = 0;
    if (checkpoint.len > 0) skip = std::stoul(text_of(checkpoint));
    std::string line;
    while (reader->line < skip && std::getline(reader->file, line)) ++reader->line;
    if (reader->line < skip) throw Problem(TL_DATA, instance->path + " is shorter than it was");
    *out = reader.release();
  });
}

static int32_t read_next(tl_reader *reader, tl_event *event, tl_error *error) {
  return guarded(error, [&] {
    if (reader->checkpoint_due) {
      reader->checkpoint_due = false;
      give(&event->json, std::to_string(reader->line));
      event->kind = TL_CHECKPOINT;
      return;
    }
    Columns columns;
    std::string line;
    while (columns.id.size() < BATCH && std::getline(reader->file, line)) {
      ++reader->line;
      std::istringstream fields(line);
      std::string id, at, phone, seconds;
      std::getline(fields, id, '\t') && std::getline(fields, at, '\t') && std::getline(fields, phone, '\t') &&
          std::getline(fields, seconds, '\t');
      try {
        columns.at_ms.push_back(std::stoll(at));
        columns.seconds.push_back(std::stoll(seconds));
      } catch (const std::logic_error &) {
        throw Problem(TL_DATA, reader->path + ":" + std::to_string(reader->line) + ": no call: " + line);
      }
      columns.id.push_back(id);
      columns.phone.push_back(phone);
    }
    if (columns.id.empty()) {
      event->kind = TL_END;
      return;
    }
    give_rows(event, std::move(columns));
    event->kind = TL_BATCH;
    reader->checkpoint_due = true;
  });
}

static void read_close(tl_reader *reader) { delete reader; }

static void close_(tl_instance *instance) { delete instance; }

int32_t tl_plugin_init_v1(uint32_t host_abi, const tl_host *, tl_plugin *out, tl_error *error) {
  return guarded(error, [&] {
    if (host_abi / 1000000 != 1 || out->struct_size < sizeof(tl_plugin)) {
      throw Problem(TL_UNSUPPORTED, "this plugin speaks version 1.0 of the interface");
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
  });
}
}
