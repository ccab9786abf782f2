#include "process/stop_signals.h"

#include <time.h>
#include <unistd.h>

#include <cstdint>

namespace cuvae::cli {
namespace {

std::atomic<int> received{0};
std::atomic<std::int64_t> since{0};  // milliseconds
std::atomic<bool> stop{false};
static_assert(std::atomic<std::int64_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "signal handlers need it");

// timeout(1) sends its signal twice: to the program and to the program's group. Both count as one request to stop.
constexpr std::int64_t kOneWish = 300;

std::int64_t milliseconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

void on_signal(int signal) {
  int none = 0;
  if (received.compare_exchange_strong(none, signal)) {
    since = milliseconds();
    stop = true;
  } else if (stop && milliseconds() - since > kOneWish) {
    ::_exit(128 + signal);
  }
}

// A signal that the caller ignores stays ignored, as with nohup.
void install(int signal, struct sigaction& old) {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, nullptr, &old);
  if (old.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
}

}  // namespace

StopSignals::StopSignals() {
  received = 0;
  stop = false;
  install(SIGINT, old_interrupt_);
  install(SIGTERM, old_terminate_);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

const std::atomic<bool>* StopSignals::flag() const { return &stop; }
int StopSignals::exit_code() const { return 128 + received; }

}  // namespace cuvae::cli
