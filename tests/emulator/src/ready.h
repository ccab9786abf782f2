// The threads of a block that were blocked and can continue.
#pragma once
#include <deque>
#include <vector>

#include "random.h"

namespace cuemu {

class ReadyThreads {
 public:
  bool empty() const { return size_ == 0; }
  void clear() {
    for (auto& warp : of_warp_) warp.clear();
    in_order_.clear();
    size_ = 0;
  }
  void push(unsigned thread, bool in_order) {
    if (in_order)
      in_order_.push_back(thread);
    else
      of_warp_[thread / 32].push_back(thread);
    ++size_;
  }
  /// The thread that was added first.
  unsigned take_first() {
    const unsigned thread = in_order_.front();
    in_order_.pop_front();
    --size_;
    return thread;
  }
  /// A random thread.
  unsigned take_any(Random& random) {
    unsigned k = random.below(size_), warp = 0;
    for (; k >= of_warp_[warp].size(); ++warp) k -= static_cast<unsigned>(of_warp_[warp].size());
    return take(warp, k);
  }
  /// A random thread of the warp with the highest priority.
  unsigned take_by_priority(Random& random, const unsigned (&priority)[32]) {
    unsigned best = 32;
    for (unsigned warp = 0; warp < 32; ++warp)
      if (!of_warp_[warp].empty() && (best == 32 || priority[warp] > priority[best])) best = warp;
    return take(best, random.below(static_cast<unsigned>(of_warp_[best].size())));
  }

 private:
  unsigned take(unsigned warp, unsigned k) {
    auto& threads = of_warp_[warp];
    const unsigned thread = threads[k];
    threads[k] = threads.back();
    threads.pop_back();
    --size_;
    return thread;
  }

  std::vector<unsigned> of_warp_[32];
  std::deque<unsigned> in_order_;
  unsigned size_ = 0;
};

}  // namespace cuemu
