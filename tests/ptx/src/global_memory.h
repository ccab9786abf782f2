// The state of device memory: the ends of allocations, initialised bytes, and the last users of each word.
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

/// The order of a block's accesses: barriers divide them into epochs; a ticket shows that other blocks have finished.
struct Order {
  u32 block = 0;                 // from 1 on
  u32 epoch = 1;                 // number of barriers so far + 1
  u32 ticket_epoch = 0;          // epoch of the block's last atomic; 0: none
  std::vector<u32> fence_epoch;  // epoch of each thread's last fence + 1
  std::vector<bool> unfenced;    // threads that have written since then
};

struct Region;  // an allocation

/// Counts a launch. Accesses of different launches are never a race.
void begin_launch();
/// Reports mistakes of an access. Returns false if it is out of bounds and must not be done. The caller keeps `last`
/// for each instruction, because most accesses stay in one allocation. An atomic is never a race.
bool check_global(const Access& access, const Order& order, bool atomic, Region*& last);

}  // namespace ptx
