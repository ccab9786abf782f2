// The checks of learned priors.
#include "ops/check.h"

namespace cuvae {

void LatentLogProb::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("z", z);
  check.matches("stats", stats, DType::f32, z.rows, 2 * z.cols, "z", z);
  check_factor(check, "row_weight", row_weight, z.rows, "z", z);
  if (log_p) check.matches("log_p", log_p, DType::f32, z.rows, 1, "z", z);
  if (dz) check.matches("dz", dz, DType::f32, z.rows, z.cols, "z", z);
  if (dstats) check.matches("dstats", dstats, z.dtype, stats.rows, stats.cols, "stats", stats);
  check.true_that(log_p || dz || dstats, "none of log_p, dz and dstats is given");
}

void MixtureLogProb::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("z", z);
  check.f32("components", components);
  check.true_that(components.cols == 2 * z.cols, "z is " + shape(z) + " but components is " + shape(components) +
                                                     ", not [C, " + std::to_string(2 * z.cols) + "]");
  if (logits) check.matches("logits", logits, DType::f32, 1, components.rows, "components", components);
  check_factor(check, "row_weight", row_weight, z.rows, "z", z);
  if (log_p) check.matches("log_p", log_p, DType::f32, z.rows, 1, "z", z);
  if (dz) check.matches("dz", dz, DType::f32, z.rows, z.cols, "z", z);
  if (dcomponents) {
    check.activation_or_f32("dcomponents", dcomponents);
    check.matches("dcomponents", dcomponents, dcomponents.dtype, components.rows, components.cols, "components",
                  components);
    check.true_that(gradients == Gradients::replace || dcomponents.dtype == DType::f32,
                    "dcomponents is " + shape(dcomponents) + " but must be f32 to be added to");
  }
  check.true_that(logits || !dlogits, "dlogits is given but logits is not");
  if (dlogits) check.matches("dlogits", dlogits, DType::f32, 1, components.rows, "components", components);
  const bool has_gradient = dz || dcomponents || dlogits;
  check.true_that(log_p || has_gradient, "none of log_p, dz, dcomponents and dlogits is given");
  check.true_that(responsibilities || !has_gradient, "a gradient is asked for but responsibilities is not given");
  if (responsibilities)
    check.matches("responsibilities", responsibilities, DType::f32, z.rows, components.rows, "components", components);
}

}  // namespace cuvae
