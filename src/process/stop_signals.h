// A flag for Ctrl-C and termination that training watches.
#pragma once
#include <signal.h>

#include <atomic>

namespace cuvae::cli {

/// While this object exists, SIGINT and SIGTERM set the flag. A second signal, at least 0.3 s later, ends the program
/// at once. Only one such object may exist at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  const std::atomic<bool>* flag() const;
  int exit_code() const;  ///< 130 or 143, as a shell reports for a program that the signal ended

 private:
  struct sigaction old_interrupt_ = {}, old_terminate_ = {};
};

}  // namespace cuvae::cli
