// The number types of PTX. Registers have 64 bits; narrower values use the low bits.
#pragma once
#include <bit>
#include <cstdint>

namespace ptx {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s8 = std::int8_t;
using s16 = std::int16_t;
using s32 = std::int32_t;
using s64 = std::int64_t;

inline float as_float(u64 v) { return std::bit_cast<float>(static_cast<u32>(v)); }
inline double as_double(u64 v) { return std::bit_cast<double>(v); }
inline u64 bits(float v) { return std::bit_cast<u32>(v); }
inline u64 bits(double v) { return std::bit_cast<u64>(v); }

}  // namespace ptx
