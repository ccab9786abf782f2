#include "study/records.h"

#include <sys/file.h>

#include <cerrno>
#include <sstream>
#include <system_error>

#include "cuvae/error.h"
#include "io/atomic_file.h"
#include "io/file_descriptor.h"
#include "io/input_file.h"
#include "io/json_text.h"

namespace cuvae::bench {
namespace {

void require_same(const std::filesystem::path& path, const Json& there, const Json& now) {
  for (const auto& [name, value] : now.items())
    if (!there.contains(name) || there.at(name) != value)
      throw Error(path.string() + ": made with " + name + " " +
                  (there.contains(name) ? short_text(there.at(name)) : std::string("unset")) + ", not " + value.dump() +
                  "; choose another --out, or give the same settings to continue");
}

[[noreturn]] void fail(const std::filesystem::path& path, int error) {
  throw Error(path.string() + ": cannot write: " + std::generic_category().message(error));
}

bool is_there(const std::filesystem::path& path) {
  std::error_code failed;
  const std::filesystem::file_status status = std::filesystem::status(path, failed);
  if (!std::filesystem::exists(status)) return false;
  if (!std::filesystem::is_regular_file(status)) throw Error(path.string() + ": is not a file");
  return true;
}

// null if the text is not JSON.
Json parsed(const std::string& text) {
  try {
    return parse_ordered_json(text);
  } catch (const Error&) {
    return {};
  }
}

bool is_text(const Json& value) { return value.is_string(); }
bool is_number(const Json& value) { return value.is_number(); }
bool is_list(const Json& value) { return value.is_array() && !value.empty(); }

// The fault of a measurement, or "". A diverged curve may have losses that are not numbers; nothing else may.
std::string fault_of(const Json& row) {
  struct Field {
    const char *suite, *name;
    bool (*fits)(const Json&);
  };
  static constexpr Field kFields[] = {{"toy", "problem", is_text},
                                      {"toy", "f", is_text},
                                      {"toy", "parameter", is_text},
                                      {"toy", "variance", is_number},
                                      {"vae", "stage", is_text},
                                      {"vae", "layers", is_number},
                                      {"vae", "latent", is_number},
                                      {"vae", "samples", is_number},
                                      {"vae", "batch", is_number},
                                      {"cost", "gradient_ms", is_number},
                                      {"cost", "stage", is_text},
                                      {"cost", "layers", is_number},
                                      {"cost", "latent", is_number},
                                      {"cost", "samples", is_number},
                                      {"cost", "batch", is_number},
                                      {"curves", "steps", is_list},
                                      {"curves", "seconds", is_list},
                                      {"curves", "loss", is_list},
                                      {"snr", "samples", is_number},
                                      {"snr", "variance", is_number},
                                      {"snr", "snr", is_number},
                                      {"snr", "squared_norm", is_number},
                                      {"snr", "variance_error", is_number},
                                      {"snr", "snr_low", is_number},
                                      {"snr", "squared_norm_error", is_number}};
  if (!row.is_object()) return "a row is not an object";
  if (!row.contains("estimator") || !row["estimator"].is_string()) return "has no estimator";
  for (const Field& f : kFields)
    if (row["suite"] == f.suite && (!row.contains(f.name) || !f.fits(row[f.name])))
      return "'" + std::string(f.name) + "' is missing or has the wrong type";
  for (const auto& [name, value] : row.items())
    if (value.is_null() && row["suite"] != "curves") return "'" + name + "' is not a number";
  return "";
}

std::string fault_of_record(const Json& record) {
  if (!record.is_object()) return "is not a JSON object";
  for (const char* name : {"key", "suite"})
    if (!record.contains(name) || !record[name].is_string()) return std::string("has no ") + name;
  if (record.contains("rows") && !record["rows"].is_array()) return "'rows' is not a list";
  for (const Json& row : rows_of(record))
    if (const std::string fault = fault_of(row); !fault.empty()) return fault;
  return "";
}

}  // namespace

std::vector<Json> rows_of(const Json& record) {
  if (!record.contains("rows")) return {record};
  Json shared = record;
  shared.erase("rows");
  std::vector<Json> rows;
  for (const Json& found : record["rows"]) {
    Json row = shared;
    if (found.is_object()) row.update(found);
    rows.push_back(std::move(row));
  }
  return rows;
}

Records::Records(std::filesystem::path folder, Json settings)
    : folder_(std::move(folder)), settings_(std::move(settings)) {
  open_folder();
  const std::filesystem::path path = folder_ / "settings.json";
  if (is_there(path)) {
    const Json there = parsed(read_file(path, 1 << 20));
    if (!there.is_object()) throw Error(path.string() + ": is not a JSON object");
    require_same(path, there, settings_);
  } else if (std::filesystem::is_empty(folder_)) {
    write_file_atomically(path, [&](std::ostream& out) { out << settings_.dump(2) << '\n'; });
  } else {
    throw Error(folder_.string() + ": is not empty and has no settings.json of this benchmark: choose another --out");
  }
  is_there(cells());
  file_ = std::make_unique<FileDescriptor>(open_file(cells(), O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW));
  if (!*file_) fail(cells(), errno);
  read();
}

Records::~Records() = default;

// Locks the folder, because two processes would mix their lines, and refuses links, which may point anywhere.
void Records::open_folder() {
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  if (failed) throw Error(folder_.string() + ": cannot make the folder: " + failed.message());
  locked_ = std::make_unique<FileDescriptor>(open_file(folder_, O_RDONLY | O_DIRECTORY));
  if (!*locked_) fail(folder_, errno);
  // On a file system without locks the folder is not locked.
  if (::flock(locked_->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw Error(folder_.string() + ": another process is measuring in this folder");
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    if (is_temporary_name(entry.path().filename())) std::filesystem::remove(entry.path());
  for (const char* name : {"settings.json", "cells.jsonl", "results.csv", "results.json"}) refuse_link(folder_ / name);
}

// Removes a last line without an end, which was cut short, so that the next record starts a new line.
void Records::read() {
  constexpr std::size_t most_bytes = std::size_t{1} << 32;
  std::istringstream text(read_file(cells(), most_bytes));
  text.exceptions(std::ios::badbit);  // too little memory must not look like the end of the file
  int number = 0;
  off_t whole = 0;
  for (std::string line; std::getline(text, line) && !text.eof();) {
    whole += static_cast<off_t>(line.size()) + 1;
    Json record = parsed(line);
    ++number;
    if (const std::string fault = fault_of_record(record); !fault.empty())
      throw Error(cells().string() + ", line " + std::to_string(number) + ": " + fault +
                  "; remove the line to measure it again");
    const std::string key = record["key"].get<std::string>();
    if (!has(key)) place_[key] = all_.size(), all_.push_back(std::move(record));
  }
  if (::lseek(file_->get(), 0, SEEK_END) > whole && ::ftruncate(file_->get(), whole) != 0) fail(cells(), errno);
}

void Records::check(const Json& record) {
  // NaN and infinities are written as null.
  if (const std::string fault = fault_of_record(Json::parse(record.dump())); !fault.empty()) throw Error(fault);
}

void Records::add(Json record) {
  check(record);
  const std::string line = record.dump() + "\n";
  if (const int error = write_all(*file_, line.data(), line.size()); error != 0) fail(cells(), error);
  place_[record["key"].get<std::string>()] = all_.size();
  all_.push_back(std::move(record));
}

}  // namespace cuvae::bench
