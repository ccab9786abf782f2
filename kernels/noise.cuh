// Random numbers of kernels: word i of a family is word i % 4 of Philox4x32-10 at the counter (i / 4, step, stream), so
// that one evaluation gives four neighbouring numbers. No number depends on the grid.
#pragma once
#include <cuda_runtime.h>
#include <curand_philox4x32_x.h>

#include "common.cuh"
#include "math/elementary.h"
#include "math/philox.h"

namespace cuvae::cuda {
namespace {

/// Words 4 * group to 4 * group + 3.
template <class Group>
__device__ uint4 draw(const Noise& noise, std::uint32_t step, Group group) {
  const auto low = [](std::uint64_t v) { return static_cast<unsigned>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<unsigned>(v >> 32); };
  return curand_Philox4x32_10(make_uint4(low(group), high(group), step, static_cast<unsigned>(noise.stream)),
                              make_uint2(low(noise.seed), high(noise.seed)));
}

template <class Group>
__device__ Pack<4> uniforms(const Noise& noise, std::uint32_t step, Group group) {
  const uint4 w = draw(noise, step, group);
  return {math::uniform(w.x), math::uniform(w.y), math::uniform(w.z), math::uniform(w.w)};
}

template <class Group>
__device__ Pack<4> normals(const Noise& noise, std::uint32_t step, Group group) {
  const Pack<4> u = uniforms(noise, step, group);
  Pack<4> n;
  math::normal_pair(u.v[0], u.v[1], n.v[0], n.v[1]);
  math::normal_pair(u.v[2], u.v[3], n.v[2], n.v[3]);
  return n;
}

/// Normal number `index` alone.
__device__ inline float normal(const Noise& noise, std::uint32_t step, std::uint64_t index) {
  const uint4 w = draw(noise, step, index / 4);
  const bool second = index % 4 >= 2;
  float even, odd;
  math::normal_pair(math::uniform(second ? w.z : w.x), math::uniform(second ? w.w : w.y), even, odd);
  return index % 2 == 0 ? even : odd;
}

/// Whether sample row r takes minus the normals of the row before it.
__device__ __forceinline__ bool is_mirrored(const Noise& noise, Index r) { return noise.antithetic && r % 2 != 0; }

}  // namespace
}  // namespace cuvae::cuda
