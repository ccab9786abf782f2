// The ops of the CUDA backend: each is one product, one kernel, or both.
#include "cuda/cuda_backend.h"
#include "cuda/error.h"
#include "cuvae/estimator.h"

namespace cuvae::cuda {
namespace {

// The multiply-adds of a product up to which one launch of a plain kernel should beat two or three of the library's and
// its helpers: they are well below 1 us of a large GPU's arithmetic, and a launch costs 1 to 3. An estimate, not yet
// measured. At batch 128 the layers 400 -> 40 and 20 -> 400 are below (2.0 and 1.0 million), 784 -> 400 is far above
// (40 million).
constexpr Index kSmallProduct = Index{1} << 22;
constexpr Index kFewRows = 1024;  // one block sums over all of them

}  // namespace

void CudaBackend::do_gather_batch(ConstView pixels, const BatchRows& rows, Binarize binarize, const Noise& noise,
                                  View x) {
  enqueue("gather_batch", Gather{pixels.data, pixels.dtype, rows, binarize, noise, x.rows, x.cols, x.data, x.dtype});
}

void CudaBackend::do_linear(ConstView x, ConstView w, ConstView b, Activation act, View pre, View y) {
  bind();
  Product product{Op::none, Op::transpose, y.rows, y.cols, x.cols, x.data, w.data, y.data, x.dtype, y.dtype};
  product.bias = b.data;
  if (act == Activation::identity) product.epilogue = Epilogue::bias;
  if (act == Activation::relu) product.epilogue = Epilogue::relu_bias;
  if (product.epilogue == Epilogue::none || !gemm_->supports(product)) {
    product.epilogue = Epilogue::none;
    gemm_->run(product);
    return enqueue("linear", BiasActivation{y.data, pre.data, b.data, y.dtype, y.rows, y.cols, act});
  }
  gemm_->run(product);
  if (pre) {  // no model asks for it with these activations; y has the same bits with it and without
    product.epilogue = Epilogue::bias;
    product.c = pre.data;
    gemm_->run(product);
  }
}

void CudaBackend::do_linear_backward(ConstView x, ConstView w, ConstView dy, Activation below, ConstView below_pre,
                                     View dw, View db, View dx) {
  if (dy.rows <= kFewRows && dy.rows * w.size() <= kSmallProduct)
    return enqueue("linear_backward", LinearBackward{x.data, w.data, dy.data, below_pre.data, x.dtype, dx.dtype, x.rows,
                                                     x.cols, dy.cols, below, dw.f32(), db.f32(), dx.data});
  bind();
  Product product{Op::transpose, Op::none, dw.rows, dw.cols, dy.rows, dy.data, x.data, dw.data, x.dtype};
  product.epilogue = Epilogue::a_sums;
  product.sums = db.f32();
  if (!gemm_->supports(product)) {
    product.epilogue = Epilogue::none;
    enqueue("linear_backward", ColumnSums{dy.data, dy.dtype, dy.rows, dy.cols, db.f32()});
  }
  gemm_->run(product);
  if (!dx) return;
  gemm_->run({Op::none, Op::none, dx.rows, dx.cols, w.rows, dy.data, w.data, dx.data, w.dtype, dx.dtype});
  enqueue("linear_backward", ActivationBackward{dx.data, x.data, below_pre.data, dx.dtype, dx.size(), below});
}

void CudaBackend::do_sample_latent(ConstView stats, const Noise& noise, View z, View kl, View kl_dims, double* moments,
                                   View log_p_z, View log_q, View score_norm) {
  enqueue("sample_latent",
          SampleLatent{stats.f32(), noise, stats.rows, z.rows / stats.rows, z.cols, z.data, z.dtype, kl.f32(),
                       kl_dims.f32(), moments, log_p_z.f32(), log_q.f32(), score_norm.f32()});
}

void CudaBackend::do_latent_backward(const LatentTerms& terms, ConstView stats, const Noise& noise, ConstView dz,
                                     const KlWeight& weight, ConstView kl_dims, float kl_scale, View dstats) {
  const Index rows = dz ? dz.rows : terms.score.rows.rows;
  enqueue("latent_backward", LatentBackward{terms, stats.f32(), dz.f32(), kl_dims.f32(), noise, weight, kl_scale,
                                            stats.rows, rows / stats.rows, stats.cols / 2, dstats.data, dstats.dtype});
}

void CudaBackend::do_place_probes(Estimator estimator, ConstView stats, const Noise& noise, View probes) {
  const Index points = probes.rows / probes_of_example(estimator, 1, probes.cols);
  enqueue("place_probes",
          PlaceProbes{estimator == Estimator::delta, estimator == Estimator::measure_valued, stats.f32(), noise, points,
                      points / stats.rows, probes.cols, probes.data, probes.dtype});
}

void CudaBackend::do_probe_backward(Estimator estimator, ConstView stats, const Noise& noise, ConstView log_p,
                                    ConstView log_p_probes, const KlWeight& weight, ConstView kl_dims, float kl_scale,
                                    View dstats) {
  const bool delta = estimator == Estimator::delta;
  const Index batch = stats.rows, latent = stats.cols / 2,
              samples = delta ? log_p.rows / batch : log_p_probes.rows / (4 * latent * batch);
  enqueue("probe_backward", ProbeBackward{delta, stats.f32(), log_p.f32(), log_p_probes.f32(), kl_dims.f32(), noise,
                                          weight, kl_scale, batch, samples, latent, dstats.data, dstats.dtype});
}

namespace {
Loss of(const ElboLoss* e) {
  if (e == nullptr) return {};
  return {e->kl.f32(), e->kl_dims.f32(), e->kl.rows, e->kl_dims.cols, e->weight,
          e->step,     e->loss,          e->sums,    e->step_moments, e->moments};
}
}  // namespace

void CudaBackend::do_bernoulli_log_prob(ConstView logits, ConstView x, const RowFactor& row_weight, View log_p,
                                        View dlogits, const ElboLoss* loss) {
  enqueue("bernoulli_log_prob", Bernoulli{logits.data, x.data, x.dtype, logits.rows, logits.rows / x.rows, logits.cols,
                                          row_weight, log_p.f32(), dlogits.data, of(loss)});
}

void CudaBackend::do_gaussian_log_prob(ConstView mean, ConstView x, ConstView log_scale, const RowFactor& row_weight,
                                       View log_p, View dmean, View dlog_scale, const ElboLoss* loss, bool learned) {
  enqueue("gaussian_log_prob",
          Gaussian{mean.data, x.data, x.dtype, log_scale.f32(), mean.rows, mean.rows / x.rows, mean.cols,
                   log_scale.cols, learned, row_weight, log_p.f32(), dmean.data, dlog_scale.f32(), of(loss)});
}

void CudaBackend::do_importance_weights(ConstView log_p_x, ConstView log_p_z, ConstView log_q, View bound, View weights,
                                        View effective, const ElboLoss* loss) {
  enqueue("importance_weights",
          ImportanceWeights{log_p_x.f32(), log_p_z.f32(), log_q.f32(), bound.rows, log_p_x.rows / bound.rows,
                            bound.f32(), weights.f32(), effective.f32(), of(loss)});
}

void CudaBackend::do_score_weights(Estimator estimator, ConstView log_p_x, ConstView log_p_z, ConstView log_q,
                                   Index samples, const ScoreBaseline& baseline, View score) {
  enqueue("score_weights",
          ScoreWeights{estimator, log_p_x.f32(), log_p_z.f32(), log_q.f32(), score.rows / samples, samples,
                       baseline.mean, baseline.variance, baseline.score_norm.f32(), baseline.network.f32(),
                       baseline.dnetwork.data, baseline.dnetwork.dtype, score.f32()});
}

void CudaBackend::do_adam(const Arena& arena, const OptimizerStep& step, const float* loss, StepState* state,
                          double* sums) {
  enqueue("adam", Adam{arena, step, loss, state, sums});
}

void CudaBackend::do_round_to_bf16(ConstView from, View to) {
  enqueue("round_to_bf16", RoundToBf16{from.f32(), to.data, from.size()});
}

void CudaBackend::do_moments(ConstView x, double* acc) { enqueue("moments", Moments{x.f32(), x.rows, x.cols, acc}); }

}  // namespace cuvae::cuda
