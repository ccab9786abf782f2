// Ctrl-C and termination, as a flag that training watches.
#pragma once
#include <signal.h>

#include <atomic>

namespace cuvae::cli {

/// While it lives, SIGINT and SIGTERM set the flag; another one, 0.3 s later or more, ends the program at
/// once. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>* flag() const;
  int exit_code() const;  ///< 130 or 143, as a shell reports a program that the signal ended

 private:
  struct sigaction old_interrupt_ = {}, old_terminate_ = {};
};

}  // namespace cuvae::cli
