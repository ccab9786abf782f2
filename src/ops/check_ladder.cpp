// The checks of ladder inference.
#include "ops/check.h"

namespace cuvae {
namespace {

// K = R / B rows of the prior for each row of bottom_up.
void check_statistics(const Check& check, ConstView prior, ConstView bottom_up) {
  check.f32("prior", prior);
  check.f32("bottom_up", bottom_up);
  check.true_that(prior.cols % 2 == 0, "prior is " + shape(prior) + " but needs an even width, mu | logvar");
  check.true_that(prior.cols == bottom_up.cols && prior.rows % bottom_up.rows == 0,
                  "bottom_up is " + shape(bottom_up) + " but prior is " + shape(prior) + ", not [K * " +
                      std::to_string(bottom_up.rows) + ", " + std::to_string(bottom_up.cols) + "]");
}

}  // namespace

void MergeGaussians::check(const Backend& backend) const {
  const Check check(name, backend);
  check_statistics(check, prior, bottom_up);
  check.matches("merged", merged, DType::f32, prior.rows, prior.cols, "prior", prior);
}

void MergeGaussiansBackward::check(const Backend& backend) const {
  const Check check(name, backend);
  check_statistics(check, prior, bottom_up);
  check.activation("dmerged", dmerged);
  check.matches("dmerged", dmerged, dmerged.dtype, prior.rows, prior.cols, "prior", prior);
  if (dprior) check.matches("dprior", dprior, dmerged.dtype, prior.rows, prior.cols, "prior", prior);
  if (dbottom_up)
    check.matches("dbottom_up", dbottom_up, dmerged.dtype, bottom_up.rows, bottom_up.cols, "bottom_up", bottom_up);
  if (dmean) check.matches("dmean", dmean, DType::f32, bottom_up.rows, bottom_up.cols / 2, "bottom_up", bottom_up);
  check.true_that(dprior || dbottom_up, "neither dprior nor dbottom_up is given");
  check.true_that(dbottom_up || !dmean, "dmean is given but dbottom_up is not");
}

}  // namespace cuvae
