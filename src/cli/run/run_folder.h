// The folder of one training run.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "io/file_descriptor.h"

namespace cuvae::cli {

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  /// Makes the folder, or checks that it is empty, or, to overwrite it, that it holds a run; checks that it can be
  /// written and that no other process trains in it, and keeps others out. Removes no run yet. Throws Error.
  void prepare(bool overwrite);
  /// `fill` writes config.json and, last, a first last.safetensors to the folder that it is given. An older run stays
  /// as it is until both stand, in a folder of their own; then they replace its files, and no others. A process that is
  /// killed leaves the older run, or the new one, which the next command puts in place.
  void begin(const std::function<void(const RunFolder&)>& fill);
  /// Takes back what prepare() and begin() did when `fill`, or what came before it, failed.
  void abandon() const noexcept;
  /// For a run that is to go on: locks it, and mends what a killed process left. Throws Error where there is none,
  /// where another process trains in it, or where one of its files is a symbolic link.
  void reopen();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.json"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path last() const { return path_ / "last.safetensors"; }
  std::filesystem::path best() const { return path_ / "best.safetensors"; }
  std::filesystem::path samples() const { return path_ / "samples.png"; }
  std::filesystem::path reconstructions() const { return path_ / "reconstructions.png"; }
  std::filesystem::path manifold() const { return path_ / "manifold.png"; }

  /// The best checkpoint, or the last where there is no best; throws Error when there is none.
  std::filesystem::path model() const;

 private:
  std::vector<std::filesystem::path> files() const;  // all that a run writes
  RunFolder replacement() const { return RunFolder(path_ / ".new-run"); }
  bool holds_run() const;
  void lock();
  void install_replacement() const;
  void finish_replacement() const;
  void remove_temporaries() const;
  void remove_files() const;
  void remove() const;

  std::filesystem::path path_;
  bool made_ = false, filling_ = false, replacing_ = false;
  std::optional<FileDescriptor> locked_;  // the kernel unlocks it, however the process ends
};

/// The name of an output that goes to the standard output.
inline constexpr const char* kStandardOutput = "-";

/// Throws Error unless a file of this name can be written: to be called before long work. The standard output must be
/// no terminal.
void check_writable(const std::filesystem::path& file);

}  // namespace cuvae::cli
