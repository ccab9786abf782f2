#include "train/encoder_gradient.h"

namespace cuvae {

EncoderGradient::EncoderGradient(Backend& backend, Estimator estimator, Index batch, Index samples, Index data_dim,
                                 std::uint64_t seed)
    : backend_(backend), estimator_(estimator), samples_(samples) {
  const EstimatorTraits& t = traits(estimator);
  const auto floats = [&](Index n) { return backend.allocate(static_cast<std::size_t>(n) * sizeof(float)); };
  if (t.of_bound) bound_ = floats(batch), weights_ = floats(batch * samples);
  if (uses_score(estimator)) score_ = floats(batch * samples);
  if (t.baseline == ScoreBaseline::running_mean) running_mean = backend.allocate(sizeof(RunningMean));
  if (has_network(t.baseline)) network = std::make_unique<InputBaseline>(backend, batch, data_dim, seed);
}

RowFactor EncoderGradient::row_weight(Index batch) const {
  if (!traits(estimator_).of_bound) return -1.0f / static_cast<float>(batch * samples_);
  return {-1.0f / static_cast<float>(batch), weights_.view(batch * samples_, 1)};
}

void EncoderGradient::bound(const Densities& d, Index batch, const ElboLoss& loss) {
  backend_.run(ImportanceWeights{.log_p_x = d.log_p_x,
                                 .log_p_z = d.log_p_z,
                                 .log_q = d.log_q,
                                 .bound = bound_.view(batch, 1),
                                 .weights = weights_.view(batch * samples_, 1),
                                 .loss = loss});
}

void EncoderGradient::score(const Densities& d, Cost cost, ConstView x, RunningMeans running) {
  ScoreWeights op =
      score_weights(estimator_, cost, d.log_p_x, d.log_p_z, d.log_q, samples_, score_.view(d.log_p_x.rows, 1));
  op.mean = running_mean.as<RunningMean>();
  op.score_norm = d.score_norm;
  if (network) network->forward(x, op);  // [B, 1]
  op.update_running = running == RunningMeans::update;
  backend_.run(op);
}

void EncoderGradient::gaussian_backward(const PosteriorGradient& p, Cost cost, ConstView dz) {
  const Index batch = p.batch, rows = batch * samples_;
  const auto column = [&](const Buffer& b) { return b ? ConstView(b.view(rows, 1)) : ConstView{}; };
  const bool closed_form_kl = has_closed_form_kl(estimator_, cost);
  LatentTerms terms = latent_terms(estimator_, cost, batch, samples_, column(weights_), column(score_));
  terms.standard_prior = p.standard_prior;
  backend_.run(GaussianBackward{.terms = terms,
                                .stats = p.stats,
                                .noise = p.noise,
                                .dz = dz,
                                .weight = p.weight,
                                .kl_dims = p.kl_dims,
                                .kl_scale = closed_form_kl ? 1.0f / static_cast<float>(batch) : 0.0f,
                                .dstats = p.dstats});
}

void EncoderGradient::bernoulli_backward(const PosteriorGradient& p, Cost cost) {
  const LatentTerms terms = latent_terms(estimator_, cost, p.batch, samples_, {}, score_.view(p.batch * samples_, 1));
  backend_.run(BernoulliBackward{.score = terms.score,
                                 .optimal_baseline = terms.optimal_baseline,
                                 .logits = p.stats,
                                 .z = p.z,
                                 .dlogits = p.dstats});
}

void EncoderGradient::probe_backward(const PosteriorGradient& p, ConstView log_p_x, ConstView log_p_probes) {
  const ProbeKind kind = traits(estimator_).probes;
  backend_.run(ProbeBackward{.kind = kind,
                             .stats = p.stats,
                             .noise = p.noise,
                             .log_p = kind == ProbeKind::differences ? log_p_x : ConstView{},
                             .log_p_probes = log_p_probes,
                             .weight = p.weight,
                             .kl_dims = p.kl_dims,
                             .kl_scale = 1.0f / static_cast<float>(p.stats.rows),
                             .dstats = p.dstats});
}

void EncoderGradient::learn(ConstView x, const LearningRate& rate, const float* loss, Group* group) {
  if (network) network->learn(x, rate, loss, group);
}

void EncoderGradient::reduce(Group& group) {
  constexpr Index kDoubles = sizeof(RunningMean) / sizeof(double);
  if (running_mean) group.average(backend_, running_mean.as<double>(), kDoubles);
  if (network) group.average(backend_, network->running.as<double>(), kDoubles);
}

}  // namespace cuvae
