// Loops over fixed chunks, shared by a team of threads. The limits of the chunks depend on the shape alone. If partial
// results are combined in the order of the chunks, they have the same bits for every number of threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "cuvae/view.h"

namespace cuvae::cpu {

inline Index chunk_count(Index n, Index chunk) { return (n + chunk - 1) / chunk; }

/// Decides whether sharing loops saves time. It does not for small loops. It does not while other programs keep the
/// cores busy either: a helper that loses its core in the middle of a chunk makes the others wait for milliseconds.
class SharingBalance {
 public:
  using Time = std::chrono::nanoseconds;

  bool share(Time now) const { return now >= resume_; }
  /// To be called after a shared loop. `saved`: the time that the caller would have needed for the helpers' chunks.
  /// `lost`: the time that it spent on starting and waiting.
  void record(Time now, Time saved, Time lost);

 private:
  Time credit_{0}, resume_{0}, pause_ = kShortestPause;
  static constexpr Time kShortestPause = std::chrono::milliseconds(10), kLongestPause = std::chrono::seconds(1);
  static constexpr Time kMostCredit = std::chrono::milliseconds(1);
};

/// The calling thread and size() - 1 helpers, which start with the first loop that is shared. The caller never waits
/// for a helper that has not begun: it computes these chunks itself. Waiting threads spin briefly, then sleep.
class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  /// Calls f(chunk number, begin, end) for each chunk of [0, n). If calls throw, one of the exceptions is thrown again
  /// after all calls have ended. If a second thread calls this while the team is at work, it computes alone.
  template <class F>
  void chunks(Index n, Index chunk, F&& f) {
    const auto one = [&](Index c) { f(c, c * chunk, std::min(n, (c + 1) * chunk)); };
    run(chunk_count(n, chunk),
        {&one, [](const void* context, Index c) { (*static_cast<decltype(&one)>(context))(c); }});
  }

 private:
  struct Job {
    const void* context = nullptr;
    void (*call)(const void*, Index) = nullptr;
  };
  /// The chunks that one thread begins with. The others help with them when they have finished their own.
  struct alignas(64) Share {
    std::atomic<Index> left{0};
    Index end = 0;
  };

  void run(Index chunks, const Job& job);
  void run_shared(Index chunks, const Job& job, int members);
  void start();
  void help(int member);
  Index take_part(int member);  ///< returns the number of chunks that it has computed
  void wait_for_helpers();

  const int size_;
  std::vector<std::thread> helpers_;
  std::unique_ptr<Share[]> shares_;
  SharingBalance balance_;
  std::atomic_flag at_work_;
  bool started_ = false;
  Job job_;
  std::atomic_flag failed_;
  std::exception_ptr failure_;
  alignas(64) std::atomic<std::uint32_t> loop_{0};  // counts shared loops; helpers wait until it changes
  alignas(64) std::atomic<std::uint32_t> open_{0};  // chunks of this loop that are not done
  std::atomic<bool> stop_{false};
};

}  // namespace cuvae::cpu
