// The state of the running block. One OS thread runs everything.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "context.h"
#include "random.h"
#include "ready.h"
#include "sanitizers.h"

namespace cuemu {

/// A stack. A CUDA thread that never blocks is a function call; a thread that blocks keeps its fiber until it ends.
struct Fiber {
  Context context{};
  char* stack = nullptr;
};

enum class State { fresh, ready, at_barrier, in_warp, done };

struct Thread {
  State state = State::fresh;
  uint3 index{};
  Fiber* fiber = nullptr;
  tsan::Fiber tsan{};
  // What the thread waits for:
  const char* what = nullptr;
  const char* file = nullptr;
  int line = 0;
  unsigned mask = 0;
  void* record = nullptr;
  Combine combine = nullptr;
  unsigned barriers = 0, syncs = 0;  // how many it has passed
};

inline constexpr unsigned kSyncs = 2 + 2 * 1024;  // two for the block, two for each thread that leads a collective

struct Machine {
  bool active = false;  // inside a launch
  std::uint64_t seed = 0;
  Random random;                                // for the schedule
  const std::function<void()>* body = nullptr;  // one thread's code
  char* dynamic = nullptr;                      // the block's dynamic shared memory

  std::vector<Thread> threads;
  std::vector<unsigned> order;  // of the first runs
  ReadyThreads ready;
  unsigned priority[32] = {};  // of the warps
  unsigned next_fresh = 0;     // index into order
  unsigned live = 0, waiting_at_barrier = 0;
  int barrier_true = 0, barrier_result = 0;

  unsigned current = 0;  // the index of the running thread
  Fiber* running = nullptr;
  Context scheduler{};
  asan::Stack scheduler_stack;

  bool failed = false;
  char message[1024] = {};

  // ThreadSanitizer's:
  bool across_blocks = false;
  unsigned block = 0;  // the number of blocks before this one in the grid
  tsan::Fiber tsan_scheduler{};
  char block_start = 0, block_end = 0, fence = 0;  // ThreadSanitizer knows the order by these addresses
  char* sync = nullptr;                            // addresses that barriers release and acquire, kSyncs for each block
};
extern Machine m;

// fibers.cpp
Fiber* take_fiber();
void to_fiber(Fiber& fiber);
void to_scheduler();
void leave_thread();    // ThreadSanitizer counts what follows as the scheduler's work
void recycle_fibers();  // at the end of a block
void abandon_fibers();  // of a block that failed
tsan::Fiber tsan_fiber(unsigned number);
void destroy_tsan_fibers();

// collectives.cpp
void wake(unsigned thread);
void finish_thread();
void report_deadlock();

// block.cpp
void run_block();

}  // namespace cuemu
