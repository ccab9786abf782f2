// metrics.jsonl: one line with a JSON object for every report of a run.
#pragma once
#include <cstdint>
#include <filesystem>

#include "cuvae/trainer.h"
#include "io/file_descriptor.h"

namespace cuvae::cli {

class MetricsLog {
 public:
  /// Keeps the lines up to this step; a run that resumes from a checkpoint writes the later ones again. Throws Error.
  MetricsLog(std::filesystem::path path, std::uint64_t step);

  /// Throws Error when the line cannot be written.
  void append(const Progress& progress, const TrainConfig& training);
  /// Returns when all lines are on the disk. To be called before a checkpoint is written.
  void sync();

 private:
  [[noreturn]] void fail(int error) const;

  std::filesystem::path path_;
  FileDescriptor file_;
  bool synced_ = true;
};

}  // namespace cuvae::cli
