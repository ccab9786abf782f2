// A running block: warps of 32 lanes, in groups of lanes at the same instruction. Groups split at branches and join
// when they reach the same instruction, so lanes of a warp run independently, as on GPUs since Volta.
#pragma once
#include <unordered_map>
#include <vector>

#include "global_memory.h"
#include "lanes.h"
#include "random.h"
#include "shared_memory.h"

namespace ptx {

struct Dimensions {
  u32 x = 1, y = 1, z = 1;
  u64 count() const { return u64{x} * y * z; }
};

class Block {
 public:
  Block(const Kernel& kernel, Dimensions grid, Dimensions block, const std::vector<u8>& parameters, bool in_order,
        cuemu::Random random);
  /// Runs the block with this index. Returns false after a mistake with which it cannot continue.
  bool run(u64 index);

 private:
  enum class Wait : u8 { none, barrier, shuffle };
  struct Group {
    int pc;
    u32 lanes;
    Wait wait;
  };
  struct Warp {
    std::vector<Group> groups;
    std::vector<u64> registers;
    u32 ended = 0;  // lanes
    unsigned first_thread = 0;
  };

  // schedule.cpp: the order of warps and groups.
  void start(Warp& warp, unsigned first_thread, u64 index);
  bool run_some_warp();  // false: all warps wait or have ended
  void run_for_a_while(Warp& warp);
  void merge(Warp& warp) const;
  void wake_complete_shuffles(Warp& warp) const;
  bool pass_barrier();

  // step.cpp: runs instructions of a group until it must wait, splits, joins another group, or has run `most`.
  void step(Warp& warp, std::size_t group, long most);
  bool branch(Warp& warp, std::size_t group, const Instruction& in, u32 taken);
  bool shuffle(Warp& warp, const Instruction& in, u32 mask);  // false: some lanes have not arrived
  void take_ticket(Warp& warp, int pc, u32 mask);
  void access(Warp& warp, int pc, u32 mask);
  u8* memory_of(const Access& access, Region*& last);
  int next_meeting(const Warp& warp, std::size_t group, int pc) const;

  const Instruction& at(int pc) const { return kernel_.code[static_cast<std::size_t>(pc)]; }
  void fail(const std::string& what, const Instruction& in);

  const Kernel& kernel_;
  const Dimensions grid_, block_;
  const unsigned threads_;
  std::vector<u8> parameters_;
  const bool in_order_;
  cuemu::Random random_;
  SharedMemory shared_{kernel_};
  Order order_;
  std::vector<Warp> warps_;
  std::unordered_map<int, Region*> last_region_;  // by pc
  bool failed_ = false;
};

}  // namespace ptx
