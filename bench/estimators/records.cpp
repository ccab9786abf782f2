#include "estimators/records.h"

#include <system_error>

#include "atomic_file.h"
#include "cuvae/error.h"

namespace cuvae::bench {
namespace {

void require_same(const std::filesystem::path& path, const Json& there, const Json& now) {
  for (const auto& [name, value] : now.items())
    if (!there.contains(name) || there.at(name) != value)
      throw Error(path.string() + ": made with " + name + " " +
                  (there.contains(name) ? there.at(name).dump() : std::string("unset")) + ", not " + value.dump() +
                  "; choose another --out, or the same settings to go on");
}

}  // namespace

Records::Records(std::filesystem::path folder, Json settings)
    : folder_(std::move(folder)), settings_(std::move(settings)) {
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  if (failed) throw Error(folder_.string() + ": cannot make the folder: " + failed.message());
  const std::filesystem::path path = folder_ / "settings.json";
  if (std::filesystem::exists(path)) {
    std::ifstream file(path);
    const Json there = Json::parse(file, nullptr, false);
    if (!there.is_object()) throw Error(path.string() + ": is not a JSON object");
    require_same(path, there, settings_);
  } else {
    write_file_atomically(path, [&](std::ostream& out) { out << settings_.dump(2) << '\n'; });
  }
  read();
  file_.open(folder_ / "cells.jsonl", std::ios::app);
  if (!file_) throw Error((folder_ / "cells.jsonl").string() + ": cannot be written to");
}

// A line without its end was cut short, and goes, so that the next one starts a line of its own.
void Records::read() {
  const std::filesystem::path path = folder_ / "cells.jsonl";
  std::ifstream file(path, std::ios::binary);
  std::uintmax_t whole = 0;
  for (std::string line; std::getline(file, line) && !file.eof();) {
    whole += line.size() + 1;
    Json record = Json::parse(line, nullptr, false);
    if (!record.is_object() || !record.contains("key") || !record["key"].is_string()) continue;
    const std::string key = record["key"].get<std::string>();
    if (!has(key)) place_[key] = all_.size(), all_.push_back(std::move(record));
  }
  file.close();
  if (std::filesystem::exists(path) && std::filesystem::file_size(path) > whole)
    std::filesystem::resize_file(path, whole);
}

void Records::add(Json record) {
  file_ << record.dump() << '\n' << std::flush;
  if (!file_) throw Error((folder_ / "cells.jsonl").string() + ": cannot be written to");
  place_[record["key"].get<std::string>()] = all_.size();
  all_.push_back(std::move(record));
}

}  // namespace cuvae::bench
