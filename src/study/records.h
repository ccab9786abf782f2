// What was measured, one JSON line per finished cell: a run that was cut short goes on behind its last whole line.
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

/// One row for each measurement of a cell, with what its record says of itself.
std::vector<Json> rows_of(const Json& record);

class Records {
 public:
  /// Makes the folder, or reads what it has. Throws Error where it cannot be written to, or was made with other
  /// settings: naming the first that differs; or where a line is not what this program writes.
  Records(std::filesystem::path folder, Json settings);
  ~Records();

  bool has(const std::string& key) const { return place_.contains(key); }
  const std::vector<Json>& all() const { return all_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// Throws Error where a measurement is missing or not a number: such a line would be refused when it is read.
  static void check(const Json& record);
  /// Appends a line and hands it to the system. Throws Error as above, or when the disk is full.
  void add(Json record);

 private:
  std::filesystem::path cells() const { return folder_ / "cells.jsonl"; }
  void open_folder();
  void read();
  std::filesystem::path folder_;
  Json settings_;
  std::vector<Json> all_;
  std::map<std::string, std::size_t> place_;
  std::unique_ptr<FileDescriptor> locked_, file_;  // the kernel unlocks the folder, however the process ends
};

}  // namespace cuvae::bench
