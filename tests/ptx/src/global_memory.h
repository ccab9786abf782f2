// What is known of the device's memory: where allocations end, which bytes hold something, who used a word last.
#pragma once
#include <vector>

#include "program.h"

namespace ptx {

/// One thread's access, for the checks.
struct Access {
  const Kernel& kernel;
  const Instruction& in;
  u64 address;
  u32 bytes;
  bool write;
  unsigned thread;  // in its block
};

/// What orders a block's accesses: barriers part them into epochs, a ticket says that other blocks have ended.
struct Order {
  u32 block = 0;                 // from 1 on
  u32 epoch = 1;                 // barriers so far, + 1
  u32 ticket_epoch = 0;          // of the block's last atomic, 0 for none
  std::vector<u32> fence_epoch;  // of each thread's last fence, + 1
  std::vector<bool> unfenced;    // threads with writes since then
};

struct Region;  // an allocation

/// Counts a launch, between which nothing is a race.
void begin_launch();
/// Reports what is wrong with an access. False, where it must not be done: it is out of bounds. `last` is kept by the
/// caller for each instruction, as accesses mostly stay in one allocation. An atomic is no race.
bool check_global(const Access& access, const Order& order, bool atomic, Region*& last);

}  // namespace ptx
