// The checks of Bernoulli latents.
#include "ops/check.h"

namespace cuvae {
namespace {

// z: K = rows / B samples per row of logits.
void check_samples(const Check& check, ConstView z, ConstView logits) {
  check.f32("logits", logits);
  check.activation("z", z);
  check.true_that(z.cols == logits.cols && z.rows % logits.rows == 0,
                  "logits is " + shape(logits) + " but z is " + shape(z) + ", not [K * " + std::to_string(logits.rows) +
                      ", " + std::to_string(logits.cols) + "]");
}

}  // namespace

void SampleBernoulli::check(const Backend& backend) const {
  const Check check(name, backend);
  check_samples(check, z, logits);
  check_sample_noise(check, noise, z.rows / logits.rows);
  if (log_q) check.matches("log_q", log_q, DType::f32, z.rows, 1, "z", z);
  if (score_norm) check.matches("score_norm", score_norm, DType::f32, z.rows, 1, "z", z);
  check.true_that(!score_norm || log_q, "score_norm is given but log_q is not");
}

void BernoulliBackward::check(const Backend& backend) const {
  const Check check(name, backend);
  check_samples(check, z, logits);
  check_factor(check, "score", score, z.rows, "z", z);
  if (optimal_baseline) {
    check.f32("score", score.rows);
    check.true_that(z.rows > logits.rows, "logits is " + shape(logits) + " but z is " + shape(z) +
                                              ": an optimal baseline needs at least 2 samples");
  }
  check.matches("dlogits", dlogits, z.dtype, logits.rows, logits.cols, "logits", logits);
}

void BernoulliLogProb::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("z", z);
  check.f32("logits", logits);
  const bool one_row = logits.rows == 1;
  check.true_that(logits.cols == z.cols && (one_row || logits.rows == z.rows),
                  "z is " + shape(z) + " but logits is " + shape(logits) + ", not [1, " + std::to_string(z.cols) +
                      "] or [" + std::to_string(z.rows) + ", " + std::to_string(z.cols) + "]");
  check_factor(check, "row_weight", row_weight, z.rows, "z", z);
  if (log_p) check.matches("log_p", log_p, DType::f32, z.rows, 1, "z", z);
  if (dlogits) {
    // One row is its own sum, which may be rounded.
    const DType type = !one_row || (z.rows == 1 && dlogits.dtype == z.dtype) ? z.dtype : DType::f32;
    check.matches("dlogits", dlogits, type, logits.rows, logits.cols, "logits", logits);
  }
  check.true_that(gradients == Gradients::replace || (one_row && dlogits.dtype == DType::f32),
                  "dlogits is added to, so that logits must be one row and dlogits f32");
  check.true_that(log_p || dlogits, "neither log_p nor dlogits is given");
}

}  // namespace cuvae
