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

  /// Creates the folder, or checks that it is empty or, with `overwrite`, that it holds a run. Checks that it can be
  /// written and locks it against other processes. Removes no run yet. Throws Error.
  void prepare(bool overwrite);
  /// `fill` must write config.json and then last.safetensors to the folder that it gets. To replace an older run, it
  /// gets a new folder; its files replace those of the older run when both exist, and no other files are removed. A
  /// kill leaves either the older run or the new one, which the next command moves into place.
  void begin(const std::function<void(const RunFolder&)>& fill);
  /// Undoes prepare() and begin() after a failure.
  void abandon() const noexcept;
  /// Opens a run that will be continued: locks it and completes what a killed process left unfinished. Throws Error
  /// if there is no run, if another process trains in it, or if one of its files is a symbolic link.
  void reopen();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.json"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path last() const { return path_ / "last.safetensors"; }
  std::filesystem::path best() const { return path_ / "best.safetensors"; }
  std::filesystem::path samples() const { return path_ / "samples.png"; }
  std::filesystem::path reconstructions() const { return path_ / "reconstructions.png"; }
  std::filesystem::path manifold() const { return path_ / "manifold.png"; }

  /// The best checkpoint, or the last one if there is no best. Throws Error if there is none.
  std::filesystem::path model() const;

 private:
  std::vector<std::filesystem::path> files() const;  // every file that a run writes
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
  std::optional<FileDescriptor> locked_;  // the system unlocks it whenever the process ends
};

/// The file name that means the standard output.
inline constexpr const char* kStandardOutput = "-";

/// Throws Error unless a file with this name can be written, or, for "-", if the standard output is a terminal. To be
/// called before long work.
void check_writable(const std::filesystem::path& file);

}  // namespace cuvae::cli
