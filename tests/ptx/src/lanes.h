// An instruction for the lanes of a warp. Register r of lane i is registers[32 r + i].
#pragma once
#include <bit>
#include <cstddef>

#include "program.h"

namespace ptx {

struct Lanes {
  u64* registers;
  u32 mask;  // the lanes that take part

  u64* operator[](int r) const { return registers + static_cast<std::ptrdiff_t>(r) * 32; }

  template <class F>
  void each(F f) const {
    if (mask == 0xffffffffu) {
      for (int i = 0; i < 32; ++i) f(i);  // vectorises
    } else {
      for (u32 rest = mask; rest != 0; rest &= rest - 1) f(std::countr_zero(rest));
    }
  }
};

/// Instructions that need only registers: moves, comparisons, conversions, arithmetic. Each kind has a file.
void compute(const Kernel& kernel, const Instruction& in, const Lanes& lanes);
void compute_floats(const Instruction& in, const Lanes& lanes);
void compare(const Instruction& in, const Lanes& lanes);
void convert(const Instruction& in, const Lanes& lanes);

}  // namespace ptx
