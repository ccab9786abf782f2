// latent_log_prob: log N(z; mu, exp(logvar)) of latents whose mean and log variance come from a network, with its
// gradients in the same pass. A group of lanes takes a row, as many as it has packs of four.
// Moved per latent of a row: 12 bytes read, as bf16 10; 8 more for dz, and 8 for dstats, as bf16 4.
#include "lanes.cuh"
#include "launch.h"
#include "math/prior.h"

namespace cuvae::cuda {
namespace {

constexpr int kLatents = 4;  // 16 bytes of stats

// The code does not depend on which outputs are given, so that each output has the same bits.
template <class T, int N>
__global__ void __launch_bounds__(kThreads, 4) latent_log_prob(const LatentLogProb op, unsigned lanes) {
  const Index L = op.z.cols, rows = op.z.rows, rows_per_block = kThreads / lanes;
  const unsigned lane = threadIdx.x % lanes;
  for (Index base = blockIdx.x * rows_per_block; base < rows; base += gridDim.x * rows_per_block) {
    const Index r = base + threadIdx.x / lanes;
    float sum = 0.0f;
    if (r < rows) {
      const float weight = math::at(op.row_weight, r);
      for (Index l = static_cast<Index>(lane) * N; l < L; l += static_cast<Index>(lanes) * N) {
        const float* stats = data_of(op.stats) + r * 2 * L + l;
        const Pack<N> z = load<N>(data_of<T>(op.z) + r * L + l), mu = load<N>(stats), logvar = load<N>(stats + L);
        Pack<N> dmu, dlogvar;
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const math::NormalTerm term = math::normal_term(z.v[j], mu.v[j], logvar.v[j]);
          sum += term.log_p;
          dmu.v[j] = weight * term.dmu;
          dlogvar.v[j] = math::clamp_gradient(weight * term.dlogvar, logvar.v[j], kLogVarMin, kLogVarMax);
        }
        if (op.dz.data != nullptr) {
          float* to = data_of(op.dz) + r * L + l;
          Pack<N> dz = load<N>(to);
#pragma unroll
          for (int j = 0; j < N; ++j) dz.v[j] -= dmu.v[j];
          store(to, dz);
        }
        if (op.dstats.data != nullptr) {
          T* to = data_of<T>(op.dstats) + r * 2 * L + l;
          store(to, dmu);
          store(to + L, dlogvar);
        }
      }
    }
    sum = lanes_sum(sum, lanes);
    if (r < rows && lane == 0 && op.log_p.data != nullptr)
      data_of(op.log_p)[r] = op.add ? data_of(op.log_p)[r] + sum : sum;
  }
}

}  // namespace

cudaError_t launch(const LatentLogProb& op, cudaStream_t stream) {
  const Index rows = op.z.rows, latent = op.z.cols;
  const bool packs = latent % kLatents == 0 && aligned(op.z, op.stats, op.dz, op.dstats);
  const unsigned lanes = lanes_for(packs ? latent / kLatents : latent);
  return with_type(op.z.dtype, [&]<class T>() {
    return start(packs ? latent_log_prob<T, kLatents> : latent_log_prob<T, 1>, grid_for(rows, kThreads / lanes),
                 kThreads, stream, op, lanes);
  });
}

}  // namespace cuvae::cuda
