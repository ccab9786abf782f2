// bernoulli_backward: dlogits from the samples and what each counts for.
// Moved per latent of a row: 4 + 4 K bytes read and 4 written, as bf16 4 + 2 K and 2. With an optimal baseline the
// samples are read twice.
#include "common.cuh"
#include "launch.h"
#include "math/bernoulli.h"

namespace cuvae::cuda {
namespace {

// A thread takes N neighbouring latents of a row with all K samples. The launch bounds allow enough registers for the
// sums in double.
template <class T, int N, bool optimal>
__global__ void __launch_bounds__(kThreads, optimal ? 1 : 4)
    bernoulli_backward(const BernoulliBackward op, Index samples) {
  const Index L = op.logits.cols, packs = L / N, size = op.logits.rows * packs;
  const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (Index i = thread; i < size; i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index b = i / packs, l = (i - b * packs) * N;
    const Pack<N> logits = load<N>(data_of(op.logits) + b * L + l);
    const auto z_of = [&](Index r) { return load<N>(data_of<T>(op.z) + r * L + l); };
    Pack<N> q, dlogits{};
#pragma unroll
    for (int j = 0; j < N; ++j) q.v[j] = math::rarer_probability(logits.v[j]);
    [[maybe_unused]] math::OthersOfBernoulli others[N];
    if constexpr (optimal) {
      for (Index r = b * samples; r < (b + 1) * samples; ++r) {
        const Pack<N> z = z_of(r);
        const auto c = static_cast<double>(math::at(op.score, r));
#pragma unroll
        for (int j = 0; j < N; ++j) others[j].add(c, math::is_rarer(logits.v[j], z.v[j]));
      }
    }
    for (Index r = b * samples; r < (b + 1) * samples; ++r) {
      const Pack<N> z = z_of(r);
      const float c = math::at(op.score, r);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        float own = c;
        if constexpr (optimal) {
          const auto all = static_cast<double>(c);
          own = static_cast<float>(all - others[j].without(all, math::is_rarer(logits.v[j], z.v[j]), q.v[j], samples));
        }
        dlogits.v[j] -= own * math::bernoulli_score(logits.v[j], q.v[j], z.v[j]);
      }
    }
    store(data_of<T>(op.dlogits) + b * L + l, dlogits);
  }
}

}  // namespace

cudaError_t launch(const BernoulliBackward& op, cudaStream_t stream) {
  const Index batch = op.logits.rows, latent = op.logits.cols;
  const bool packs = latent % 4 == 0 && aligned(op.logits, op.z, op.dlogits);
  return with_type(op.z.dtype, [&]<class T>() {
    const auto run = [&](auto four, auto one) {
      return start(packs ? four : one, grid_for(batch * latent / (packs ? 4 : 1), kThreads), kThreads, stream, op,
                   op.z.rows / batch);
    };
    return op.optimal_baseline ? run(bernoulli_backward<T, 4, true>, bernoulli_backward<T, 1, true>)
                               : run(bernoulli_backward<T, 4, false>, bernoulli_backward<T, 1, false>);
  });
}

}  // namespace cuvae::cuda
