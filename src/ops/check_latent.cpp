// The checks of the ops between encoder and decoder: samples, likelihoods, estimators.
#include <utility>

#include "cuvae/likelihood.h"
#include "ops/check.h"

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

void check_probe_noise(const Check& check, const Noise& noise) {
  check_noise(check, noise);
  check.true_that(!noise.antithetic, "the noise is antithetic but this op has no antithetic pairs");
}

void check_kl_weight(const Check& check, const KlWeight& w) {
  check.true_that(w.beta >= 0 && w.free_bits >= 0, "beta is " + number(w.beta) + " and free bits " +
                                                       number(w.free_bits) + " but neither may be negative");
}

// Probes or their log-densities: for each row of stats, those of K samples.
void check_probes(const Check& check, ProbeKind kind, const char* name, ConstView v, bool width_fits, ConstView stats) {
  const Index rows = stats.rows * probes_of_example(kind, 1, stats.cols / 2);
  const bool whole = kind == ProbeKind::differences, rows_fit = whole ? v.rows == rows : v.rows % rows == 0;
  check.true_that(width_fits && rows_fit, "stats is " + shape(stats) + " but " + name + " is " + shape(v) + ", not " +
                                              (whole ? "" : "K * ") + std::to_string(rows) + " rows");
}

// The loss's arrays for a batch as large as `batch`, or with so many `groups` for each of its rows.
void check_loss(const Check& check, const ElboLoss& loss, const char* name, ConstView batch, bool groups = false) {
  if (!loss.given()) return;
  if (loss.log_q) {
    check.f32("log_q", loss.log_q);
    check.true_that(loss.log_q.cols == 1 && loss.log_q.rows % batch.rows == 0,
                    std::string(name) + " is " + shape(batch) + " but log_q is " + shape(loss.log_q));
    check.matches("log_p_z", loss.log_p_z, DType::f32, loss.log_q.rows, 1, "log_q", loss.log_q);
    check.true_that(!loss.kl && !loss.kl_dims, "kl and kl_dims are given, but so is log_q in place of them");
    check.true_that(loss.weight.free_bits == 0,
                    "free bits are " + number(loss.weight.free_bits) + " but a KL from samples has none");
    check.true_that(loss.moments == nullptr || loss.latent >= 1, "moments are given without their latent width");
  } else {
    const bool divides = groups && loss.kl.rows > 0 && batch.rows % loss.kl.rows == 0;
    check.matches("kl", loss.kl, DType::f32, divides ? loss.kl.rows : batch.rows, 1, name, batch);
    check.f32("kl_dims", loss.kl_dims);
    check.true_that(loss.kl_dims.rows == 1, "kl_dims is " + shape(loss.kl_dims) + " but must be one row");
    check.true_that(!loss.log_p_z, "log_p_z is given but log_q is not");
  }
  check_kl_weight(check, loss.weight);
  check.pointer("step", loss.step);
  check.pointer("loss", loss.loss);
  check.pointer("sums", loss.sums);
  check.true_that((loss.step_moments == nullptr) == (loss.moments == nullptr),
                  "step_moments and moments are given both or neither");
}

// The log-densities of sample rows.
void check_log_p_x(const Check& check, ConstView log_p_x) {
  check.f32("log_p_x", log_p_x);
  check.true_that(log_p_x.cols == 1, "log_p_x is " + shape(log_p_x) + " but must be one column");
}
void check_densities(const Check& check, ConstView log_p_x, ConstView log_p_z, ConstView log_q) {
  check_log_p_x(check, log_p_x);
  check.matches("log_p_z", log_p_z, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  check.matches("log_q", log_q, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
}

// A likelihood's arguments: K = R / B rows of the decoder's output per row of x, n outputs a value.
void check_likelihood(const Check& check, const char* name, ConstView output, Index n, ConstView x,
                      const RowFactor& row_weight, View log_p, View gradient, const ElboLoss& loss) {
  check.activation(name, output);
  check.activation("x", x);
  check.true_that(output.cols == n * x.cols && output.rows % x.rows == 0,
                  std::string(name) + " is " + shape(output) + " but x is " + shape(x) +
                      (n == 1 ? "" : ", with " + std::to_string(n) + " outputs a value"));
  check.matches("log_p", log_p, DType::f32, output.rows, 1, name, output);
  check_factor(check, "row_weight", row_weight, output.rows, name, output);
  if (gradient) check.matches("the gradient", gradient, output.dtype, output.rows, output.cols, name, output);
  check_loss(check, loss, "x", x);
}

}  // namespace

void SampleGaussian::check(const Backend& backend) const {
  const Check check(name, backend);
  check_stats(check, stats);
  check.activation("z", z);
  check_samples(check, "z", z, stats);
  check.true_that(!kl == !kl_dims, "kl and kl_dims are given both or neither");
  if (kl) check.matches("kl", kl, DType::f32, stats.rows, 1, "stats", stats);
  if (kl_dims) check.matches("kl_dims", kl_dims, DType::f32, 1, stats.cols / 2, "stats", stats);
  check_sample_noise(check, noise, z.rows / stats.rows);
  if (log_p_z) check.matches("log_p_z", log_p_z, DType::f32, z.rows, 1, "z", z);
  if (log_q) check.matches("log_q", log_q, DType::f32, z.rows, 1, "z", z);
  if (score_norm) check.matches("score_norm", score_norm, DType::f32, z.rows, 1, "z", z);
  check.true_that(!score_norm || log_q, "score_norm is given but log_q is not");
}

void GaussianBackward::check(const Backend& backend) const {
  const Check check(name, backend);
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
  for (const auto& [term, factor] :
       {std::pair{"path", &terms.path}, {"density", &terms.density}, {"score", &terms.score}})
    check_factor(check, term, *factor, rows, "stats", stats);
  if (terms.optimal_baseline) {
    check.f32("score", terms.score.rows);
    check.true_that(rows > stats.rows, "stats is " + shape(stats) + " but score is " + shape(terms.score.rows) +
                                           ": an optimal baseline needs at least 2 samples");
  }
  if (kl_dims || kl_scale != 0) check.matches("kl_dims", kl_dims, DType::f32, 1, stats.cols / 2, "stats", stats);
  check.activation("dstats", dstats);
  check.matches("dstats", dstats, dstats.dtype, stats.rows, stats.cols, "stats", stats);
  check_sample_noise(check, noise, rows / stats.rows);
  check_kl_weight(check, weight);
}

void PlaceProbes::check(const Backend& backend) const {
  const Check check(name, backend);
  check_stats(check, stats);
  check.activation("probes", probes);
  check_probes(check, kind, "probes", probes, probes.cols * 2 == stats.cols, stats);
  check_probe_noise(check, noise);
}

void ProbeBackward::check(const Backend& backend) const {
  const Check check(name, backend);
  check_stats(check, stats);
  check.f32("log_p_probes", log_p_probes);
  check_probes(check, kind, "log_p_probes", log_p_probes, log_p_probes.cols == 1, stats);
  if (kind == ProbeKind::differences) {
    check.f32("log_p", log_p);
    check.true_that(log_p.cols == 1 && log_p.rows % stats.rows == 0, "stats is " + shape(stats) + " but log_p is " +
                                                                         shape(log_p) + ", not [K * " +
                                                                         std::to_string(stats.rows) + ", 1]");
  }
  check.matches("kl_dims", kl_dims, DType::f32, 1, stats.cols / 2, "stats", stats);
  check.activation("dstats", dstats);
  check.matches("dstats", dstats, dstats.dtype, stats.rows, stats.cols, "stats", stats);
  check_probe_noise(check, noise);
  check_kl_weight(check, weight);
}

void LogProb::check(const Backend& backend) const {
  const Check check(name, backend);
  check.true_that(!is_scale_shared(likelihood), "the likelihood is " + std::string(to_string(likelihood)) +
                                                    " but its scale, which all rows share, needs gaussian_log_prob");
  check_likelihood(check, "outputs", outputs, traits(likelihood).outputs, x, row_weight, log_p, doutputs, loss);
}

void GaussianLogProb::check(const Backend& backend) const {
  const Check check(name, backend);
  check_likelihood(check, "mean", mean, 1, x, row_weight, log_p, dmean, loss);
  check.f32("log_scale", log_scale);
  check.true_that(log_scale.rows == 1 && (log_scale.cols == 1 || log_scale.cols == x.cols),
                  "x is " + shape(x) + " but log_scale is " + shape(log_scale) + ", not [1, 1] or [1, " +
                      std::to_string(x.cols) + "]");
  if (dlog_scale) check.matches("dlog_scale", dlog_scale, DType::f32, 1, log_scale.cols, "log_scale", log_scale);
  check.true_that(learned || !dlog_scale, "dlog_scale is given but log_scale is not learned");
}

void DrawData::check(const Backend& backend) const {
  const Check check(name, backend);
  const Index n = traits(likelihood).outputs;
  check.activation("outputs", outputs);
  check.activation("x", x);
  check.true_that(outputs.rows == x.rows && outputs.cols == n * x.cols,
                  "outputs is " + shape(outputs) + " but x is " + shape(x) +
                      (n == 1 ? "" : ", with " + std::to_string(n) + " outputs a value"));
  if (is_scale_shared(likelihood)) {
    check.f32("log_scale", log_scale);
    check.true_that(log_scale.rows == 1 && (log_scale.cols == 1 || log_scale.cols == x.cols),
                    "x is " + shape(x) + " but log_scale is " + shape(log_scale) + ", not [1, 1] or [1, " +
                        std::to_string(x.cols) + "]");
  } else {
    check.true_that(!log_scale, "log_scale is given but a " + std::string(to_string(likelihood)) + " has none");
  }
  check_probe_noise(check, noise);
}

void ImportanceWeights::check(const Backend& backend) const {
  const Check check(name, backend);
  check_densities(check, log_p_x, log_p_z, log_q);
  check.f32("bound", bound);
  check.true_that(bound.cols == 1 && log_p_x.rows % bound.rows == 0,
                  "log_p_x is " + shape(log_p_x) + " but bound is " + shape(bound));
  check.matches("weights", weights, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  if (effective) check.matches("effective", effective, DType::f32, bound.rows, 1, "bound", bound);
  check.true_that(elbo_share >= 0 && elbo_share <= 1,
                  "elbo_share is " + number(elbo_share) + " but must be from 0 to 1");
  check.true_that(!path || elbo_share > 0, "path is given but elbo_share is 0");
  if (path) check.matches("path", path, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  check_loss(check, loss, "bound", bound, true);
}

void ScoreWeights::check(const Backend& backend) const {
  const Check check(name, backend);
  check_log_p_x(check, log_p_x);
  if (log_p_z || is_of_bound(baseline))
    check.matches("log_p_z", log_p_z, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  if (log_q || is_of_bound(baseline)) check.matches("log_q", log_q, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  check.true_that(log_p_z || !log_q, "log_q is given but log_p_z is not");
  check.true_that(samples >= least_samples(baseline), "samples is " + std::to_string(samples) +
                                                          " but the baseline needs at least " +
                                                          std::to_string(least_samples(baseline)));
  check.true_that(log_p_x.rows % samples == 0,
                  "log_p_x is " + shape(log_p_x) + " but samples is " + std::to_string(samples));
  check.matches("score", score, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  if (has_running_mean(baseline)) check.pointer("the running mean", mean);
  if (baseline == ScoreBaseline::score_norm)
    check.matches("score_norm", score_norm, DType::f32, log_p_x.rows, 1, "log_p_x", log_p_x);
  if (!has_network(baseline)) return;
  const Index batch = log_p_x.rows / samples;
  check.pointer("the running variance", variance);
  check.matches("network", network, DType::f32, batch, 1, "log_p_x", log_p_x);
  if (dnetwork) check.matches("dnetwork", dnetwork, backend.activation_type(), batch, 1, "log_p_x", log_p_x);
}

}  // namespace cuvae
