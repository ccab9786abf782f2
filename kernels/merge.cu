// merge_gaussians, merge_gaussians_backward: the product of the prior's Gaussians and those of the bottom-up pass, and
// its gradients. A thread takes N neighbouring latents: forward of a sample row, backward of an example with all its K
// samples.
// Moved per latent of a sample row: forward 8 bytes read and 8 written; backward 16 read, as bf16 12, and for dprior 8
// read and 8 written, as bf16 4. Per latent of an example: 8 read; backward also 4 read and 8 written, as bf16 4.
#include "common.cuh"
#include "launch.h"
#include "math/merge.h"

namespace cuvae::cuda {
namespace {

template <int N>
__global__ void __launch_bounds__(kThreads) merge_gaussians(const MergeGaussians op, Index samples) {
  const Index L = op.prior.cols / 2, packs = L / N, size = op.prior.rows * packs;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index i = thread; i < size; i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index r = i / packs, l = (i - r * packs) * N;
    const float *prior = data_of(op.prior) + r * 2 * L + l,
                *bottom_up = data_of(op.bottom_up) + r / samples * 2 * L + l;
    const Pack<N> mu_p = load<N>(prior), logvar_p = load<N>(prior + L), mu_b = load<N>(bottom_up),
                  logvar_b = load<N>(bottom_up + L);
    Pack<N> mu, logvar;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const math::MergedGaussian g = math::merged_gaussian(logvar_p.v[j], logvar_b.v[j]);
      mu.v[j] = math::merged_mean(g, mu_p.v[j], mu_b.v[j]);
      logvar.v[j] = g.logvar;
    }
    float* merged = data_of(op.merged) + r * 2 * L + l;
    store(merged, mu);
    store(merged + L, logvar);
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads, 2)
    merge_gaussians_backward(const MergeGaussiansBackward op, Index samples) {
  const Index L = op.prior.cols / 2, packs = L / N, size = op.bottom_up.rows * packs;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index i = thread; i < size; i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index b = i / packs, l = (i - b * packs) * N;
    const float* bottom_up = data_of(op.bottom_up) + b * 2 * L + l;
    const Pack<N> mu_b = load<N>(bottom_up), logvar_b = load<N>(bottom_up + L);
    Pack<N> dmu_b{}, dlogvar_b{};
    for (Index r = b * samples; r < (b + 1) * samples; ++r) {
      const Index at = r * 2 * L + l;
      const Pack<N> mu_p = load<N>(data_of(op.prior) + at), logvar_p = load<N>(data_of(op.prior) + at + L),
                    dmu = load<N>(data_of<T>(op.dmerged) + at), dlogvar = load<N>(data_of<T>(op.dmerged) + at + L);
      Pack<N> dmu_p, dlogvar_p;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const math::MergedGaussian g = math::merged_gaussian(logvar_p.v[j], logvar_b.v[j]);
        const math::MergedGradient d = math::merged_gradient(g, mu_p.v[j], mu_b.v[j], dmu.v[j], dlogvar.v[j]);
        dmu_b.v[j] += d.mu_b;
        dlogvar_b.v[j] += d.logvar_b;
        dmu_p.v[j] = d.mu_p;
        dlogvar_p.v[j] = math::clamp_gradient(d.logvar_p, logvar_p.v[j], kLogVarMin, kLogVarMax);
      }
      if (op.dprior.data == nullptr) continue;
      T* to = data_of<T>(op.dprior) + at;
      const Pack<N> mu_there = load<N>(to), logvar_there = load<N>(to + L);
#pragma unroll
      for (int j = 0; j < N; ++j) dmu_p.v[j] += mu_there.v[j], dlogvar_p.v[j] += logvar_there.v[j];
      store(to, dmu_p);
      store(to + L, dlogvar_p);
    }
    if (op.dbottom_up.data == nullptr) continue;
    const Pack<N> dmean = op.dmean.data != nullptr ? load<N>(data_of(op.dmean) + b * L + l) : Pack<N>{};
#pragma unroll
    for (int j = 0; j < N; ++j) {
      dmu_b.v[j] += dmean.v[j];
      dlogvar_b.v[j] = math::clamp_gradient(dlogvar_b.v[j], logvar_b.v[j], kLogVarMin, kLogVarMax);
    }
    T* to = data_of<T>(op.dbottom_up) + b * 2 * L + l;
    store(to, dmu_b);
    store(to + L, dlogvar_b);
  }
}

}  // namespace

cudaError_t launch(const MergeGaussians& op, cudaStream_t stream) {
  const Index rows = op.prior.rows, latent = op.prior.cols / 2;
  const bool packs = latent % 4 == 0 && aligned(op.prior, op.bottom_up, op.merged);
  return start(packs ? merge_gaussians<4> : merge_gaussians<1>, grid_for(rows * latent / (packs ? 4 : 1), kThreads),
               kThreads, stream, op, rows / op.bottom_up.rows);
}

cudaError_t launch(const MergeGaussiansBackward& op, cudaStream_t stream) {
  const Index batch = op.bottom_up.rows, latent = op.prior.cols / 2;
  const bool packs = latent % 4 == 0 && aligned(op.prior, op.bottom_up, op.dmerged, op.dprior, op.dbottom_up, op.dmean);
  return with_type(op.dmerged.dtype, [&]<class T>() {
    return start(packs ? merge_gaussians_backward<T, 4> : merge_gaussians_backward<T, 1>,
                 grid_for(batch * latent / (packs ? 4 : 1), kThreads), kThreads, stream, op, op.prior.rows / batch);
  });
}

}  // namespace cuvae::cuda
