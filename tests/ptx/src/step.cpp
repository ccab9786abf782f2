// Instructions of control flow and memory; compute.cpp has the others.
#include <algorithm>
#include <cstring>
#include <limits>

#include "block.h"
#include "problems.h"

namespace ptx {

// The instruction of the nearest other group at or after pc. This group must stop there to join it. With seed 0, a
// group that is ahead in time waits for the others.
int Block::next_meeting(const Warp& warp, std::size_t group, int pc) const {
  int meeting = std::numeric_limits<int>::max();
  for (std::size_t g = 0; g < warp.groups.size(); ++g) {
    const Group& other = warp.groups[g];
    if (g != group && (other.pc >= pc || (in_order_ && other.wait == Wait::none)))
      meeting = std::min(meeting, other.pc);
  }
  return meeting;
}

void Block::step(Warp& warp, std::size_t index, long most) {
  int& pc = warp.groups[index].pc;
  const u32 group = warp.groups[index].lanes;
  int meeting = std::numeric_limits<int>::max();
  for (std::size_t g = 0; g < warp.groups.size(); ++g)
    if (g != index && warp.groups[g].pc > pc) meeting = std::min(meeting, warp.groups[g].pc);

  for (; most > 0 && pc < meeting && !failed_; --most) {
    const Instruction& in = at(pc);
    Lanes lanes{warp.registers.data(), group};
    if (in.predicate >= 0) {
      u32 active = 0;
      const u64* const predicate = lanes[in.predicate];
      for (u32 i = 0; i < 32; ++i) active |= static_cast<u32>((predicate[i] & 1) != (in.unless ? 1u : 0u)) << i;
      lanes.mask = group & active;
      if (lanes.mask == 0) {
        ++pc;
        continue;
      }
    }
    switch (in.op) {
      case Opcode::bra:
        if (!branch(warp, index, in, lanes.mask)) return;  // split: `pc` has changed
        meeting = next_meeting(warp, index, pc);
        continue;
      case Opcode::ret:
        warp.ended |= lanes.mask;
        warp.groups[index].lanes &= ~lanes.mask;
        ++pc;
        if (warp.groups[index].lanes == 0) warp.groups.erase(warp.groups.begin() + static_cast<std::ptrdiff_t>(index));
        return;
      case Opcode::bar:
        warp.groups[index].wait = Wait::barrier;
        return;
      case Opcode::membar:
        lanes.each([&](int i) {
          const std::size_t thread = warp.first_thread + static_cast<unsigned>(i);
          order_.unfenced[thread] = false;
          order_.fence_epoch[thread] = order_.epoch + 1;
        });
        break;
      case Opcode::shfl:
        if (!shuffle(warp, in, lanes.mask)) {
          warp.groups[index].wait = Wait::shuffle;
          return;
        }
        break;
      case Opcode::atom_inc:
        take_ticket(warp, pc, lanes.mask);
        break;
      case Opcode::ld:
      case Opcode::st:
        access(warp, pc, lanes.mask);
        break;
      default:
        compute(kernel_, in, lanes);
    }
    ++pc;
  }
}

// Returns true if the group stays together.
bool Block::branch(Warp& warp, std::size_t index, const Instruction& in, u32 taken) {
  Group& group = warp.groups[index];
  if (taken == group.lanes) {
    group.pc = in.target;
    return true;
  }
  if (in.uniform) problem("divergent bra.uni in " + place(kernel_, in));
  group.lanes &= ~taken;
  ++group.pc;
  warp.groups.push_back({in.target, taken, Wait::none});
  return false;
}

// shfl.sync.bfly: to[0] gets the partner's value of of[0], and to[1] whether there is a partner. The partner is the
// lane number xor of[1]; of[2] has the clamp and the segment, of[3] the members.
bool Block::shuffle(Warp& warp, const Instruction& in, u32 mask) {
  const Lanes lanes{warp.registers.data(), mask};
  const u32 members = static_cast<u32>(lanes[in.of[3]][std::countr_zero(mask)]);
  if ((members & ~warp.ended & ~mask) != 0) return false;
  if ((members & warp.ended) != 0) problem("shuffle with ended lanes in its mask in " + place(kernel_, in));
  u64 values[32];
  bool inside[32];
  lanes.each([&](int lane) {
    if (static_cast<u32>(lanes[in.of[3]][lane]) != members) fail("shuffle with several masks", in);
    if ((members >> lane & 1) == 0) fail("shuffle by a lane outside of its mask", in);
    const u32 i = static_cast<u32>(lane), bounds = static_cast<u32>(lanes[in.of[2]][lane]);
    const u32 clamp = bounds & 31, segment = bounds >> 8 & 31, last = (i & segment) | (clamp & ~segment);
    const u32 partner = i ^ (static_cast<u32>(lanes[in.of[1]][lane]) & 31);
    inside[lane] = partner <= last;
    const u32 from = inside[lane] ? partner : i;
    if ((mask >> from & 1) == 0) problem("shuffle that reads an absent lane in " + place(kernel_, in));
    values[lane] = static_cast<u32>(lanes[in.of[0]][from]);
  });
  lanes.each([&](int lane) {
    lanes[in.to[0]][lane] = values[lane];
    if (in.to[1] >= 0) lanes[in.to[1]][lane] = inside[lane];
  });
  return true;
}

// atom.inc: a block reports that its results are written, and gets the number of blocks that have done so.
void Block::take_ticket(Warp& warp, int pc, u32 mask) {
  const Instruction& in = at(pc);
  const Lanes lanes{warp.registers.data(), mask};
  lanes.each([&](int i) {
    const u64 address = lanes[in.base][i] + static_cast<u64>(in.offset);
    if (failed_) return;
    if (address % 4 != 0) return fail("misaligned atomic", in);
    const unsigned thread = warp.first_thread + static_cast<unsigned>(i);
    if (!check_global({kernel_, in, address, 4, false, thread}, order_, true, last_region_[pc])) {
      failed_ = true;
      return;
    }
    if (std::find(order_.unfenced.begin(), order_.unfenced.end(), true) != order_.unfenced.end())
      problem("ticket while a thread's global writes are not fenced in " + place(kernel_, in));
    auto* const ticket = reinterpret_cast<u32*>(address);
    lanes[in.to[0]][i] = *ticket;
    *ticket = *ticket >= static_cast<u32>(lanes[in.of[0]][i]) ? 0 : *ticket + 1;
    order_.ticket_epoch = order_.epoch;
  });
}

// The address of an access, or null if it must not be done.
u8* Block::memory_of(const Access& a, Region*& last) {
  if (a.address % a.bytes != 0) {
    problem("misaligned " + std::to_string(a.bytes) + "-byte access, " + std::to_string(a.address % 16) +
            " past a multiple of 16, in " + place(kernel_, a.in));
    return nullptr;
  }
  switch (a.in.space) {
    case Space::param: {
      const u64 offset = a.address - kParameterBase;
      if (offset + a.bytes <= parameters_.size()) return parameters_.data() + offset;
      problem("out of bounds parameter read in " + place(kernel_, a.in));
      return nullptr;
    }
    case Space::shared:
      return shared_.check(a, order_.epoch);
    case Space::global:
      break;
  }
  if (a.write) order_.unfenced[a.thread] = true;
  return check_global(a, order_, false, last) ? reinterpret_cast<u8*>(a.address) : nullptr;
}

void Block::access(Warp& warp, int pc, u32 mask) {
  const Instruction& in = at(pc);
  const Lanes lanes{warp.registers.data(), mask};
  const u32 bytes = u32{in.width} * in.elements;
  const bool write = in.op == Opcode::st, narrow = in.space == Space::shared;  // addresses of 32 bits
  Region*& last = last_region_[pc];
  lanes.each([&](int i) {
    if (failed_) return;
    const u64 base = narrow ? static_cast<u32>(lanes[in.base][i]) : lanes[in.base][i];
    const Access a{kernel_, in,    base + static_cast<u64>(in.offset),
                   bytes,   write, warp.first_thread + static_cast<unsigned>(i)};
    u8* memory = memory_of(a, last);
    if (memory == nullptr) {
      failed_ = true;
      return;
    }
    for (u32 e = 0; e < in.elements; ++e, memory += in.width) {
      if (write) {
        std::memcpy(memory, &lanes[in.of[e]][i], in.width);
        continue;
      }
      u64 value = 0;
      std::memcpy(&value, memory, in.width);
      if (in.type == Type::S8) value = static_cast<u64>(s64{static_cast<s8>(value)});
      if (in.type == Type::S16) value = static_cast<u64>(s64{static_cast<s16>(value)});
      lanes[in.to[e]][i] = value;
    }
  });
}

}  // namespace ptx
