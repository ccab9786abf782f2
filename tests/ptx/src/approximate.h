// Arithmetic that is not in the IEEE standard: approximations and bf16.
#pragma once
#include "numbers.h"

namespace ptx {

// The approximate instructions of the special function unit. With CUEMU_APPROX=1 or 2 their results are off by up to
// what the PTX manual allows (ex2 by as many ulp as said), always alike for the same argument, as hardware's are.
float ex2(float x);
float lg2(float x);
float rcp(float x);
u64 rcp64(u64 x);  // of a double: the upper word, as in hardware

u16 to_bf16(float v);  // to nearest even
inline float from_bf16(u64 v) { return as_float(static_cast<u64>(static_cast<u16>(v)) << 16); }

}  // namespace ptx
