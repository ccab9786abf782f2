// metrics.jsonl: one JSON object a line, for every report of a run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "cuvae/trainer.h"

namespace cuvae::cli {

class MetricsLog {
 public:
  /// Keeps the lines up to this step: a run that resumes at a checkpoint writes the later ones again. Throws Error.
  MetricsLog(std::filesystem::path path, std::uint64_t step);

  /// Throws Error when the line cannot be written.
  void append(const Progress& progress);

 private:
  void check() const;

  std::filesystem::path path_;
  std::ofstream file_;
};

}  // namespace cuvae::cli
