#include "cpu/team.h"

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <utility>

#include "cpu/denormals.h"
#include "cuvae/error.h"

namespace cuvae::cpu {
namespace {

using Clock = std::chrono::steady_clock;

// The loops of a step follow each other within this time. A thread that waits longer sleeps.
constexpr SharingBalance::Time kSpin = std::chrono::microseconds(50);

SharingBalance::Time now() { return Clock::now().time_since_epoch(); }

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until done(value) for the value of `place`, which is returned.
template <class Done>
std::uint32_t wait_until(const std::atomic<std::uint32_t>& place, Done done) {
  for (const auto sleep_at = now() + kSpin; now() < sleep_at;) {
    for (int i = 0; i < 16; ++i) {
      if (const std::uint32_t value = place.load(std::memory_order_acquire); done(value)) return value;
      pause();
    }
  }
  for (;;) {
    const std::uint32_t value = place.load(std::memory_order_acquire);
    if (done(value)) return value;
    place.wait(value, std::memory_order_acquire);
  }
}

// New threads inherit the mask: signals are handled by the host program's threads.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

void SharingBalance::record(Time now, Time saved, Time lost) {
  credit_ += saved - lost;
  if (credit_ >= kMostCredit) {
    credit_ = kMostCredit;
    pause_ = kShortestPause;
  } else if (credit_ <= -kMostCredit) {
    credit_ = Time{0};
    resume_ = now + pause_;
    pause_ = std::min(2 * pause_, kLongestPause);
  }
}

Team::Team(int size) : size_(size), shares_(std::make_unique<Share[]>(static_cast<std::size_t>(size))) {}

Team::~Team() {
  stop_ = true;
  loop_.fetch_add(1, std::memory_order_release);
  loop_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Team::start() {
  started_ = true;
  const AllSignalsBlocked blocked;
  try {
    for (int member = 1; member < size_; ++member) helpers_.emplace_back(&Team::help, this, member);
  } catch (const std::system_error&) {  // the system gives no more threads: the existing ones do the work
  }
}

void Team::help(int member) {
  const FlushDenormals flush;
  for (std::uint32_t seen = 0;;) {
    seen = wait_until(loop_, [&](std::uint32_t loop) { return loop != seen; });
    if (stop_) return;
    take_part(member);
  }
}

void Team::run(Index chunks, const Job& job) {
  const int members = static_cast<int>(std::min<Index>(size_, chunks));
  if (members > 1 && chunks <= 0xffffffff && balance_.share(now()) &&
      !at_work_.test_and_set(std::memory_order_acquire)) {
    run_shared(chunks, job, members);
    return;
  }
  const FlushDenormals flush;
  for (Index c = 0; c < chunks; ++c) job.call(job.context, c);
}

void Team::run_shared(Index chunks, const Job& job, int members) {
  struct AtWork {
    std::atomic_flag& flag;
    ~AtWork() { flag.clear(std::memory_order_release); }
  } const at_work{at_work_};
  if (!started_) start();

  const auto begin = now();
  job_ = job;
  failure_ = nullptr;
  failed_.clear(std::memory_order_relaxed);
  open_.store(static_cast<std::uint32_t>(chunks), std::memory_order_relaxed);
  for (int m = 0; m < members; ++m) {
    Share& share = shares_[static_cast<std::size_t>(m)];
    const Index first = chunks * m / members;
    share.end = chunks * (m + 1) / members;
    share.left.store(share.end - first, std::memory_order_release);
  }
  loop_.fetch_add(1, std::memory_order_release);
  loop_.notify_all();

  const auto started = now();
  Index own = 0;
  {
    const FlushDenormals flush;
    own = take_part(0);
  }
  const auto done = now();
  wait_until(open_, [](std::uint32_t open) { return open == 0; });
  const auto end = now();
  const auto saved = own > 0 ? (done - started) / own * (chunks - own) : SharingBalance::Time{0};
  balance_.record(end, saved, started - begin + end - done);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

Index Team::take_part(int member) {
  Index computed = 0;
  for (int offset = 0; offset < size_; ++offset) {
    Share& share = shares_[static_cast<std::size_t>((member + offset) % size_)];
    for (Index left = share.left.load(std::memory_order_acquire); left > 0;) {
      // The loop stays open while a thread has a chunk of it: job_ and end do not change until then.
      if (!share.left.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      try {
        job_.call(job_.context, share.end - left);
      } catch (...) {
        if (!failed_.test_and_set(std::memory_order_relaxed)) failure_ = std::current_exception();
      }
      ++computed;
      if (open_.fetch_sub(1, std::memory_order_acq_rel) == 1) open_.notify_one();
      left = share.left.load(std::memory_order_acquire);
    }
  }
  return computed;
}

}  // namespace cuvae::cpu
