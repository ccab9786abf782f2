// Arithmetic that is not in the IEEE standard: approximations and bf16.
#pragma once
#include "numbers.h"

namespace ptx {

// The approximate instructions of the special function unit. With CUEMU_APPROX=1 or 2 they have the errors that the PTX
// manual allows: ex2 up to 1 or 2 ulp, the others up to 1. As in hardware, equal arguments give equal results.
float ex2(float x);
float lg2(float x);
float rcp(float x);
u64 rcp64(u64 x);  // 1 / a double; only the upper word is computed, as in hardware

u16 to_bf16(float v);  // to nearest even
inline float from_bf16(u64 v) { return as_float(static_cast<u64>(static_cast<u16>(v)) << 16); }

}  // namespace ptx
