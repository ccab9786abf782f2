// How a run shows its progress on stderr: a line that renews itself on a terminal, else a line per epoch.
#pragma once
#include <string>

#include "cuvae/trainer.h"

namespace cuvae::cli {

class ProgressDisplay {
 public:
  /// `title` is the first line, before any progress.
  ProgressDisplay(bool quiet, Index batch, std::string title);
  ~ProgressDisplay() { end_line(); }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void show(const Progress& progress);

 private:
  void end_line();

  bool quiet_, terminal_;
  Index batch_;
  std::string title_;
  bool line_open_ = false;
};

/// "0:07", "12:30", "3:04:05".
std::string duration(double seconds);

}  // namespace cuvae::cli
