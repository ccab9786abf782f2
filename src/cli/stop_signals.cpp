#include "cli/stop_signals.h"

#include <unistd.h>

namespace cuvae::cli {
namespace {

std::atomic<int> received{0};
std::atomic<bool> stop{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "signal handlers need it");

void on_signal(int signal) {
  if (received.exchange(signal) != 0) ::_exit(128 + signal);
  stop = true;
}

// A signal that the caller ignores, as nohup does, stays ignored.
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
