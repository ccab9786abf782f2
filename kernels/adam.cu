// adam: two launches. The first computes the gradients' norm; its last block decides whether and how to update, and
// advances the counters. The second updates the whole arena by this decision, which is the same for all its blocks.
// Moved per parameter: 4 bytes read for the norm. Then Adam reads 16 and writes 12, SGD reads 12 and writes 8; averaged
// weights add 8, a bf16 copy adds 2.
#include <cmath>

#include "common.cuh"
#include "launch.h"
#include "math/formulas.h"

namespace cuvae::cuda {
namespace {

struct Decision {
  math::UpdateScalars scalars;
  bool update;
};
constexpr std::size_t kDecisionBytes = 64;  // the partial sums follow
static_assert(sizeof(Decision) <= kDecisionBytes);

constexpr Index kLeastChunk = 4096, kMostChunks = 1024;
// A multiple of four, so that every chunk begins on 16 bytes.
Index norm_chunk(Index size) { return ceil_div(chunk_rows(size, kLeastChunk, kMostChunks), 4) * 4; }

__device__ Decision decide(const Adam& op, double squares) {
  if (op.step.max_skipped > 0 && op.state->skipped_in_a_row >= op.step.max_skipped) return {{}, false};
  const std::uint32_t now = op.state->step++;
  // Adam squares the gradient in float32, so that is where the norm must be finite too.
  if (!std::isfinite(*op.loss) || !std::isfinite(static_cast<float>(squares))) {
    ++op.state->skipped;
    ++op.state->skipped_in_a_row;
    return {{}, false};
  }
  op.state->skipped_in_a_row = 0;
  const double t = ++op.state->updates, norm = sqrt(squares);
  op.sums[metric::updates] += 1.0;
  op.sums[metric::gradient_norm] += norm;
  const double clip = static_cast<double>(op.step.clip_norm) / (norm + 1e-6);
  math::UpdateScalars s;
  s.rate = math::learning_rate(op.step.learning_rate, now);
  s.gradient_scale = op.step.clip_norm > 0.0f && clip < 1.0 ? static_cast<float>(clip) : 1.0f;
  // 1 - beta^t. pow() is not used: it is a call and needs a stack frame.
  const auto one_minus_power = [t](float beta) { return -expm1(t * log(static_cast<double>(beta))); };
  s.correction1 = static_cast<float>(1.0 / one_minus_power(op.step.beta1));
  s.correction2_sqrt = static_cast<float>(1.0 / sqrt(one_minus_power(op.step.beta2)));
  return {s, true};
}

// Four squares are added in float32, the rest in double. So GPUs with slow doubles are still limited by memory only.
template <int N>
__global__ void __launch_bounds__(kThreads)
    gradient_norm(const Adam op, Index chunk, Decision* decision, double* partials, unsigned* ticket) {
  const Index begin = blockIdx.x * chunk, left = op.arena.size - begin, size = left < chunk ? left : chunk;
  const float* grads = op.arena.grads + begin;
  double sum = 0.0;
  for (Index i = static_cast<Index>(threadIdx.x) * N; i + N <= size; i += kThreads * N) {
    const Pack<N> g = load<N>(grads + i);
    float squares = 0.0f;
    for (const float v : g.v) squares += v * v;
    sum += static_cast<double>(squares);
  }
  if (threadIdx.x < size % N) {
    const float g = grads[size - 1 - threadIdx.x];
    sum += static_cast<double>(g * g);
  }
  sum = row_sum(sum);
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;

  if (!is_last_block(ticket, gridDim.x)) return;
  sum = 0.0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += kThreads) sum += __ldcg(partials + i);
  sum = row_sum(sum);
  if (threadIdx.x == 0) *decision = decide(op, sum);
}

template <Optimizer O, bool clips, int N>
__global__ void __launch_bounds__(kThreads) update(const Adam op, const Decision* decision) {
  if (!decision->update) return;
  const math::UpdateScalars s = decision->scalars;
  const Arena& a = op.arena;
  const float ema_decay = op.step.ema_decay;
  for_each_pack<N>(a.size, [&]<int M>(Index i) {
    const Pack<M> g = load<M>(a.grads + i);
    Pack<M> p = load<M>(a.params + i), m = load<M>(a.m + i), v{}, ema{};
    if constexpr (O != Optimizer::sgd) v = load<M>(a.v + i);
    if (ema_decay > 0.0f) ema = load<M>(a.ema + i);
#pragma unroll
    for (int j = 0; j < M; ++j) math::update<O, clips>(op.step, s, g.v[j], p.v[j], m.v[j], v.v[j]);
    store(a.params + i, p);
    if (a.rounded != nullptr) store(static_cast<Bf16*>(a.rounded) + i, p);
    store(a.m + i, m);
    if constexpr (O != Optimizer::sgd) store(a.v + i, v);
    if (ema_decay > 0.0f) {
#pragma unroll
      for (int j = 0; j < M; ++j) ema.v[j] = ema_decay * ema.v[j] + (1.0f - ema_decay) * p.v[j];
      store(a.ema + i, ema);
    }
  });
}

template <Optimizer O, int N>
cudaError_t start_update(const Adam& op, const Decision* decision, cudaStream_t stream) {
  const auto run = [&](auto kernel) {
    return start(kernel, grid_for(op.arena.size, kThreads * N), kThreads, stream, op, decision);
  };
  return op.step.clip_value > 0.0f ? run(update<O, true, N>) : run(update<O, false, N>);
}

template <int N>
cudaError_t start_adam(const Adam& op, Scratch scratch, cudaStream_t stream) {
  const Index chunk = norm_chunk(op.arena.size);
  auto* decision = static_cast<Decision*>(scratch.partials);
  auto* partials = reinterpret_cast<double*>(static_cast<char*>(scratch.partials) + kDecisionBytes);
  const cudaError_t error = start(gradient_norm<N>, static_cast<unsigned>(ceil_div(op.arena.size, chunk)), kThreads,
                                  stream, op, chunk, decision, partials, scratch.ticket);
  if (error != cudaSuccess) return error;
  switch (op.step.kind) {
    case Optimizer::adam:
      break;
    case Optimizer::adamw:
      return start_update<Optimizer::adamw, N>(op, decision, stream);
    case Optimizer::sgd:
      return start_update<Optimizer::sgd, N>(op, decision, stream);
    case Optimizer::adam_iwae:
      return start_update<Optimizer::adam_iwae, N>(op, decision, stream);
  }
  return start_update<Optimizer::adam, N>(op, decision, stream);
}

}  // namespace

std::size_t scratch_bytes(const Adam& op) {
  return kDecisionBytes + static_cast<std::size_t>(ceil_div(op.arena.size, norm_chunk(op.arena.size))) * sizeof(double);
}

cudaError_t launch(const Adam& op, Scratch scratch, cudaStream_t stream) {
  const Arena& a = op.arena;
  return aligned(a.params, a.grads, a.m, a.v, a.ema, a.rounded) ? start_adam<4>(op, scratch, stream)
                                                                : start_adam<1>(op, scratch, stream);
}

}  // namespace cuvae::cuda
