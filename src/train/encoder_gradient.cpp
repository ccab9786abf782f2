#include "train/encoder_gradient.h"

namespace cuvae {

EncoderGradient::EncoderGradient(Backend& backend, Estimator estimator, Index batch, Index samples, Index data_dim,
                                 std::uint64_t seed, float elbo_share)
    : backend_(backend), estimator_(estimator), elbo_share_(elbo_share) {
  const EstimatorTraits& t = traits(estimator);
  const auto floats = [&](Index n) { return backend.allocate(static_cast<std::size_t>(n) * sizeof(float)); };
  if (t.of_bound) bound_ = floats(batch * samples), weights_ = floats(batch * samples);
  if (estimator == Estimator::dreg && elbo_share > 0) path_ = floats(batch * samples);
  if (uses_score(estimator)) score_ = floats(batch * samples);
  if (t.baseline == ScoreBaseline::running_mean) running_mean = backend.allocate(sizeof(RunningMean));
  if (has_network(t.baseline)) network = std::make_unique<InputBaseline>(backend, batch, data_dim, seed);
}

RowFactor EncoderGradient::row_weight(const SampleGroups& groups) const {
  if (!traits(estimator_).of_bound) return -1.0f / static_cast<float>(groups.rows());
  return {-1.0f / static_cast<float>(groups.count), weights_.view(groups.rows(), 1)};
}

void EncoderGradient::bound(const Densities& d, const SampleGroups& groups, const ElboLoss& loss) {
  backend_.run(ImportanceWeights{.log_p_x = d.log_p_x,
                                 .log_p_z = d.log_p_z,
                                 .log_q = d.log_q,
                                 .bound = bound_.view(groups.count, 1),
                                 .weights = weights_.view(groups.rows(), 1),
                                 .loss = loss,
                                 .elbo_share = elbo_share_,
                                 .path = path_ ? path_.view(groups.rows(), 1) : View{}});
}

void EncoderGradient::score(const Densities& d, Cost cost, ConstView x, const SampleGroups& groups,
                            RunningMeans running) {
  ScoreWeights op =
      score_weights(estimator_, cost, d.log_p_x, d.log_p_z, d.log_q, groups.samples, score_.view(groups.rows(), 1));
  op.mean = running_mean.as<RunningMean>();
  op.score_norm = d.score_norm;
  if (network) network->forward(x, op);  // [B, 1]
  op.update_running = running == RunningMeans::update;
  backend_.run(op);
}

namespace {
RowFactor operator*(float share, RowFactor factor) {
  factor.scale *= share, factor.offset *= share;
  return factor;
}
}  // namespace

LatentTerms EncoderGradient::latent_terms_of(const SampleGroups& groups, Cost cost) const {
  const auto column = [&](const Buffer& b) { return b ? ConstView(b.view(groups.rows(), 1)) : ConstView{}; };
  LatentTerms terms = latent_terms(estimator_, cost, groups.count, groups.samples, column(weights_), column(score_));
  if (path_) terms.path = {1.0f, column(path_)};
  return terms;
}

void EncoderGradient::gaussian_backward(const PosteriorGradient& p, Cost cost, ConstView dz) {
  const bool closed_form_kl = has_closed_form_kl(estimator_, cost);
  LatentTerms terms = latent_terms_of(p.groups, cost);
  if (p.for_layer_below) {
    terms.path = 1.0f;
    terms.stick_the_landing = false;
  } else if (p.share != 1) {
    terms.path = p.share * terms.path, terms.score = p.share * terms.score;  // the path, or the score
  }
  terms.density = terms.density.times(p.weight, p.noise.step);
  terms.standard_prior = p.standard_prior;
  backend_.run(GaussianBackward{.terms = terms,
                                .stats = p.stats,
                                .noise = p.noise,
                                .dz = dz,
                                .weight = p.weight,
                                .kl_dims = p.kl_dims,
                                .kl_scale = closed_form_kl ? 1.0f / static_cast<float>(p.groups.count) : 0.0f,
                                .dstats = p.dstats});
}

void EncoderGradient::bernoulli_backward(const PosteriorGradient& p, Cost cost) {
  const LatentTerms terms = latent_terms_of(p.groups, cost);
  backend_.run(BernoulliBackward{.score = p.share == 1 ? terms.score : p.share * terms.score,
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
