// draw_data: x ~ p(x|z). A thread takes four neighbouring values of the whole batch, which share one Philox evaluation.
// Moved per value with n outputs: 4 n bytes of them read, 4 written; half of each as bf16.
#include "launch.h"
#include "math/likelihoods.h"
#include "noise.cuh"

namespace cuvae::cuda {
namespace {

template <class Formula, class T>
__device__ __forceinline__ float drawn(const DrawData& op, Index row, Index d, float random) {
  const T* outputs = data_of<T>(op.outputs) + row * op.outputs.cols + d;
  float o[Formula::outputs];
#pragma unroll
  for (int k = 0; k < Formula::outputs; ++k) o[k] = load<1>(outputs + k * op.x.cols).v[0];
  if constexpr (math::takes_values_alone<Formula>) {
    return Formula::draw(o, random);
  } else {
    const float raw = data_of(op.log_scale)[op.log_scale.cols == 1 ? 0 : d];
    return o[0] + math::exp(op.learned ? math::clamp(raw, kLogScaleMin, kLogScaleMax) : raw) * random;
  }
}

template <class Formula>
constexpr bool draws_from_normals() {
  if constexpr (math::takes_values_alone<Formula>) {
    return Formula::from_normal;
  } else {
    return true;
  }
}

template <class Formula, class T>
__global__ void __launch_bounds__(kThreads) draw_data(const DrawData op) {
  const Index D = op.x.cols, size = op.x.rows * D, number = op.noise.first_row * D;
  const Index shift = number % 4;  // x begins inside a group of four numbers
  const std::uint32_t step = *op.noise.step;
  for (Index group = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; group * 4 - shift < size;
       group += static_cast<Index>(gridDim.x) * blockDim.x) {
    const auto at = static_cast<std::uint64_t>(number / 4 + group);
    Pack<4> random;
    if constexpr (draws_from_normals<Formula>())
      random = normals(op.noise, step, at);
    else
      random = uniforms(op.noise, step, at);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Index i = group * 4 - shift + j;
      if (i < 0 || i >= size) continue;
      const Index row = i / D;
      store(data_of<T>(op.x) + i, Pack<1>{drawn<Formula, T>(op, row, i - row * D, random.v[j])});
    }
  }
}

}  // namespace

cudaError_t launch(const DrawData& op, cudaStream_t stream) {
  return math::with_likelihood(op.likelihood, [&]<class Formula>() {
    return with_type(op.x.dtype, [&]<class T>() {
      return start(draw_data<Formula, T>, grid_for(op.x.size() / 4 + 2, kThreads), kThreads, stream, op);
    });
  });
}

}  // namespace cuvae::cuda
