// The measurements, one JSON line per finished cell. An interrupted run continues after its last complete line.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cuvae {
class FileDescriptor;
}

namespace cuvae::bench {

using Json = nlohmann::ordered_json;

/// One row for each measurement of a cell, with the fields of its record.
std::vector<Json> rows_of(const Json& record);

class Records {
 public:
  /// Creates the folder, or reads its records. Throws Error if the folder cannot be written, if it was made with other
  /// settings (naming the first that differs), or if a line cannot be from this program.
  Records(std::filesystem::path folder, Json settings);
  ~Records();

  bool has(const std::string& key) const { return place_.contains(key); }
  const std::vector<Json>& all() const { return all_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// Throws Error if a measurement is missing or not a number, because reading such a line would fail.
  static void check(const Json& record);
  /// Writes a line. Throws Error as above, or if the disk is full.
  void add(Json record);

 private:
  std::filesystem::path cells() const { return folder_ / "cells.jsonl"; }
  void open_folder();
  void read();
  std::filesystem::path folder_;
  Json settings_;
  std::vector<Json> all_;
  std::map<std::string, std::size_t> place_;
  std::unique_ptr<FileDescriptor> locked_, file_;  // the system unlocks the folder whenever the process ends
};

}  // namespace cuvae::bench
