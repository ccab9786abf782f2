// Progress of a run on stderr: on a terminal one line that is rewritten, else one line for each epoch.
#pragma once
#include <string>

#include "cuvae/trainer.h"

namespace cuvae::cli {

class ProgressDisplay {
 public:
  /// `title` is printed as the first line.
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
