// Groups of a warp's lanes that share a row: 1, 2, 4 ... 32 of them. A whole warp calls each function.
#pragma once
#include "common.cuh"

namespace cuvae::cuda {
namespace {

/// The size of a group whose row has `items`: a lane for each, or a whole warp.
inline unsigned lanes_for(Index items) {
  unsigned lanes = 1;
  while (lanes < kWarp && lanes < items) lanes *= 2;
  return lanes;
}

/// The sum over a group, on each of its lanes: a fixed tree.
__device__ inline float lanes_sum(float v, unsigned lanes) {
  for (unsigned offset = lanes / 2; offset > 0; offset /= 2) v += __shfl_xor_sync(kFullWarp, v, offset);
  return v;
}
__device__ inline float lanes_max(float v, unsigned lanes) {
  for (unsigned offset = lanes / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(kFullWarp, v, offset);
    v = other > v ? other : v;
  }
  return v;
}

}  // namespace
}  // namespace cuvae::cuda
