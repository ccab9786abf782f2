// The checks of the ops between encoder and decoder: samples, likelihoods, estimators.
#include <utility>

#include "cuvae/estimator.h"
#include "ops/op_check.h"

namespace cuvae {
namespace {

void check_stats(const Check& check, ConstView stats) {
  check.f32("stats", stats);
  check.true_that(stats.cols % 2 == 0, "stats is " + shape(stats) + " but needs an even width, mu | logvar");
}

// z or dz: K = rows / B samples per row of stats.
void check_samples(const Check& check, const char* name, ConstView z, ConstView stats) {
  check.true_that(z.cols * 2 == stats.cols && z.rows % stats.rows == 0,
                  "stats is " + shape(stats) + " but " + name + " is " + shape(z) + ", not [K * " +
                      std::to_string(stats.rows) + ", " + std::to_string(stats.cols / 2) + "]");
}

// The noise of K samples a row.
void check_sample_noise(const Check& check, const Noise& noise, Index samples) {
  check_noise(check, noise);
  check.true_that(!noise.antithetic || samples % 2 == 0,
                  "samples is " + std::to_string(samples) + " but must be even for antithetic pairs");
}

void check_probe_noise(const Check& check, const Noise& noise, Estimator estimator) {
  check_noise(check, noise);
  check.true_that(!noise.antithetic, std::string(to_string(estimator)) + " has no antithetic pairs");
}

void check_kl_weight(const Check& check, const KlWeight& w) {
  check.true_that(w.beta >= 0 && w.free_bits >= 0, "beta is " + number(w.beta) + " and free bits " +
                                                       number(w.free_bits) + " but neither may be negative");
}

// Probes or their log-densities: for each row of stats, those of K samples.
void check_probes(const Check& check, Estimator estimator, const char* name, ConstView v, bool width_fits,
                  ConstView stats) {
  check.true_that(uses_probes(estimator), std::string(to_string(estimator)) + " has no probes");
  const Index rows = stats.rows * probes_of_example(estimator, 1, stats.cols / 2);
  const bool rows_fit = estimator == Estimator::delta ? v.rows == rows : v.rows % rows == 0;
  check.true_that(width_fits && rows_fit, "stats is " + shape(stats) + " but " + name + " is " + shape(v) + ", not " +
                                              (estimator == Estimator::delta ? "" : "K * ") + std::to_string(rows) +
                                              " rows as " + std::string(to_string(estimator)) + " has them");
}

// The loss's arrays for a batch as large as `batch`.
void check_loss(const Check& check, const ElboLoss& loss, const char* name, ConstView batch) {
  check.matches("kl", loss.kl, DType::f32, batch.rows, 1, name, batch);
  check.f32("kl_dims", loss.kl_dims);
  check.true_that(loss.kl_dims.rows == 1, "kl_dims is " + shape(loss.kl_dims) + " but must be one row");
  check_kl_weight(check, loss.weight);
  check.pointer("step", loss.step);
  check.pointer("loss", loss.loss);
  check.pointer("sums", loss.sums);
  check.true_that((loss.step_moments == nullptr) == (loss.moments == nullptr),
                  "step_moments and moments are given both or neither");
}

// The log-densities of sample rows.
void check_densities(const Check& check, ConstView log_p_x, ConstView log_p_z, ConstView log_q) {
  check.f32("log_p_x", log_p_x);
  check.true_that(log_p_x.cols == 1, "log_p_x is " + shape(log_p_x) + " but must be one column");
  check.matches("log_p_z", log_p_z, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  check.matches("log_q", log_q, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
}

// A likelihood's arguments: K = R / B rows of the decoder's output per row of x.
void check_likelihood(const Check& check, const char* name, ConstView output, ConstView x, const RowFactor& row_weight,
                      View log_p, View gradient, const ElboLoss* loss) {
  check.activation(name, output);
  check.activation("x", x);
  check.true_that(output.cols == x.cols && output.rows % x.rows == 0,
                  std::string(name) + " is " + shape(output) + " but x is " + shape(x));
  check.matches("log_p", log_p, DType::f32, output.rows, 1, name, output);
  if (row_weight.rows) check.matches("row_weight", row_weight.rows, DType::f32, output.rows, 1, name, output);
  if (gradient) check.matches("the gradient", gradient, output.dtype, output.rows, output.cols, name, output);
  if (loss != nullptr) check_loss(check, *loss, "x", x);
}

}  // namespace

void Backend::sample_latent(ConstView stats, const Noise& noise, View z, View kl, View kl_dims, double* moments,
                            View log_p_z, View log_q, View score_norm) {
  const Check check("sample_latent", *this);
  check_stats(check, stats);
  check.activation("z", z);
  check_samples(check, "z", z, stats);
  check.matches("kl", kl, DType::f32, stats.rows, 1, "stats", stats);
  check.matches("kl_dims", kl_dims, DType::f32, 1, stats.cols / 2, "stats", stats);
  check_sample_noise(check, noise, z.rows / stats.rows);
  check.true_that(!log_p_z == !log_q, "log_p_z and log_q are given both or neither");
  if (log_p_z) check.matches("log_p_z", log_p_z, DType::f32, z.rows, 1, "z", z);
  if (log_q) check.matches("log_q", log_q, DType::f32, z.rows, 1, "z", z);
  if (score_norm) check.matches("score_norm", score_norm, DType::f32, z.rows, 1, "z", z);
  check.true_that(!score_norm || log_q, "score_norm is given but log_q is not");
  do_sample_latent(stats, noise, z, kl, kl_dims, moments, log_p_z, log_q, score_norm);
}

void Backend::latent_backward(const LatentTerms& terms, ConstView stats, const Noise& noise, ConstView dz,
                              const KlWeight& weight, ConstView kl_dims, float kl_scale, View dstats) {
  const Check check("latent_backward", *this);
  check_stats(check, stats);
  if (dz || !terms.path.is(0)) {
    check.f32("dz", dz);
    check_samples(check, "dz", dz, stats);
  } else {
    check.f32("score", terms.score.rows);
    check.true_that(terms.score.rows.rows % stats.rows == 0, "stats is " + shape(stats) + " but score is " +
                                                                 shape(terms.score.rows) + ", not [K * " +
                                                                 std::to_string(stats.rows) + ", 1]");
  }
  const Index rows = dz ? dz.rows : terms.score.rows.rows;
  for (const auto& [name, factor] :
       {std::pair{"path", &terms.path}, {"density", &terms.density}, {"score", &terms.score}})
    if (factor->rows) check.matches(name, factor->rows, DType::f32, rows, 1, "stats", stats);
  if (terms.optimal_baseline) {
    check.f32("score", terms.score.rows);
    check.true_that(rows > stats.rows, "stats is " + shape(stats) + " but score is " + shape(terms.score.rows) +
                                           ": an optimal baseline needs at least 2 samples");
  }
  check.matches("kl_dims", kl_dims, DType::f32, 1, stats.cols / 2, "stats", stats);
  check.activation("dstats", dstats);
  check.matches("dstats", dstats, dstats.dtype, stats.rows, stats.cols, "stats", stats);
  check_sample_noise(check, noise, rows / stats.rows);
  check_kl_weight(check, weight);
  do_latent_backward(terms, stats, noise, dz, weight, kl_dims, kl_scale, dstats);
}

void Backend::place_probes(Estimator estimator, ConstView stats, const Noise& noise, View probes) {
  const Check check("place_probes", *this);
  check_stats(check, stats);
  check.activation("probes", probes);
  check_probes(check, estimator, "probes", probes, probes.cols * 2 == stats.cols, stats);
  check_probe_noise(check, noise, estimator);
  do_place_probes(estimator, stats, noise, probes);
}

void Backend::probe_backward(Estimator estimator, ConstView stats, const Noise& noise, ConstView log_p,
                             ConstView log_p_probes, const KlWeight& weight, ConstView kl_dims, float kl_scale,
                             View dstats) {
  const Check check("probe_backward", *this);
  check_stats(check, stats);
  check.f32("log_p_probes", log_p_probes);
  check_probes(check, estimator, "log_p_probes", log_p_probes, log_p_probes.cols == 1, stats);
  if (estimator == Estimator::delta) {
    check.f32("log_p", log_p);
    check.true_that(log_p.cols == 1 && log_p.rows % stats.rows == 0, "stats is " + shape(stats) + " but log_p is " +
                                                                         shape(log_p) + ", not [K * " +
                                                                         std::to_string(stats.rows) + ", 1]");
  }
  check.matches("kl_dims", kl_dims, DType::f32, 1, stats.cols / 2, "stats", stats);
  check.activation("dstats", dstats);
  check.matches("dstats", dstats, dstats.dtype, stats.rows, stats.cols, "stats", stats);
  check_probe_noise(check, noise, estimator);
  check_kl_weight(check, weight);
  do_probe_backward(estimator, stats, noise, log_p, log_p_probes, weight, kl_dims, kl_scale, dstats);
}

void Backend::bernoulli_log_prob(ConstView logits, ConstView x, const RowFactor& row_weight, View log_p, View dlogits,
                                 const ElboLoss* loss) {
  check_likelihood(Check("bernoulli_log_prob", *this), "logits", logits, x, row_weight, log_p, dlogits, loss);
  do_bernoulli_log_prob(logits, x, row_weight, log_p, dlogits, loss);
}

void Backend::gaussian_log_prob(ConstView mean, ConstView x, ConstView log_scale, const RowFactor& row_weight,
                                View log_p, View dmean, View dlog_scale, const ElboLoss* loss, bool learned) {
  const Check check("gaussian_log_prob", *this);
  check_likelihood(check, "mean", mean, x, row_weight, log_p, dmean, loss);
  check.f32("log_scale", log_scale);
  check.true_that(log_scale.rows == 1 && (log_scale.cols == 1 || log_scale.cols == x.cols),
                  "x is " + shape(x) + " but log_scale is " + shape(log_scale) + ", not [1, 1] or [1, " +
                      std::to_string(x.cols) + "]");
  if (dlog_scale) check.matches("dlog_scale", dlog_scale, DType::f32, 1, log_scale.cols, "log_scale", log_scale);
  check.true_that(learned || !dlog_scale, "dlog_scale is given but log_scale is not learned");
  do_gaussian_log_prob(mean, x, log_scale, row_weight, log_p, dmean, dlog_scale, loss, learned);
}

void Backend::importance_weights(ConstView log_p_x, ConstView log_p_z, ConstView log_q, View bound, View weights,
                                 View effective, const ElboLoss* loss) {
  const Check check("importance_weights", *this);
  check_densities(check, log_p_x, log_p_z, log_q);
  check.f32("bound", bound);
  check.true_that(bound.cols == 1 && log_p_x.rows % bound.rows == 0,
                  "log_p_x is " + shape(log_p_x) + " but bound is " + shape(bound));
  check.matches("weights", weights, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  if (effective) check.matches("effective", effective, DType::f32, bound.rows, 1, "bound", bound);
  if (loss != nullptr) check_loss(check, *loss, "bound", bound);
  do_importance_weights(log_p_x, log_p_z, log_q, bound, weights, effective, loss);
}

void Backend::score_weights(Estimator estimator, Cost cost, ConstView log_p_x, ConstView log_p_z, ConstView log_q,
                            Index samples, const ScoreBaseline& baseline, View score) {
  const Check check("score_weights", *this);
  check_densities(check, log_p_x, log_p_z, log_q);
  check.true_that(uses_score(estimator), std::string(to_string(estimator)) + " takes no scores");
  check.true_that(samples >= least_samples(estimator), "samples is " + std::to_string(samples) + " but " +
                                                           std::string(to_string(estimator)) + " needs at least " +
                                                           std::to_string(least_samples(estimator)));
  check.true_that(log_p_x.rows % samples == 0,
                  "log_p_x is " + shape(log_p_x) + " but samples is " + std::to_string(samples));
  check.matches("score", score, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  ScoreBaseline used;
  if (estimator == Estimator::score_mean || is_nvil(estimator)) {
    check.pointer("the running mean", baseline.mean);
    used.mean = baseline.mean;
  }
  if (estimator == Estimator::optimal_shared) {
    check.matches("score_norm", baseline.score_norm, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
    used.score_norm = baseline.score_norm;
  }
  if (is_nvil(estimator)) {
    const Index batch = log_p_x.rows / samples;
    check.pointer("the running variance", baseline.variance);
    check.matches("network", baseline.network, DType::f32, batch, 1, "log_p_x", log_p_x);
    if (baseline.dnetwork)
      check.matches("dnetwork", baseline.dnetwork, activation_type(), batch, 1, "log_p_x", log_p_x);
    used.variance = baseline.variance, used.network = baseline.network, used.dnetwork = baseline.dnetwork;
  }
  if (is_score_function(estimator) && cost != Cost::elbo) log_q = {};
  if (is_score_function(estimator) && cost == Cost::likelihood) log_p_z = {};
  do_score_weights(estimator, log_p_x, log_p_z, log_q, samples, used, score);
}

}  // namespace cuvae
