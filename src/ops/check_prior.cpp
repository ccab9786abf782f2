// The checks of learned priors.
#include "ops/check.h"

namespace cuvae {

void LatentLogProb::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("z", z);
  check.matches("stats", stats, DType::f32, z.rows, 2 * z.cols, "z", z);
  if (row_weight.rows) check.matches("row_weight", row_weight.rows, DType::f32, z.rows, 1, "z", z);
  if (log_p) check.matches("log_p", log_p, DType::f32, z.rows, 1, "z", z);
  if (dz) check.matches("dz", dz, DType::f32, z.rows, z.cols, "z", z);
  if (dstats) check.matches("dstats", dstats, z.dtype, stats.rows, stats.cols, "stats", stats);
  check.true_that(log_p || dz || dstats, "none of log_p, dz and dstats is given");
}

}  // namespace cuvae
