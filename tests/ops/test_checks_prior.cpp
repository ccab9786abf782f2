// The checks of learned priors: each wrong shape, type or missing array is an Error that names the op, the array and
// the shapes.
#include "check_test.h"

namespace cuvae {
namespace {
using namespace test;

class PriorChecks : public CheckTest {};
CUVAE_IN_EVERY_PRECISION(PriorChecks);

struct RowWeightOf {
  template <class Op>
  auto& operator()(Op& op) const {
    return op.row_weight.rows;
  }
};

TEST_P(PriorChecks, LatentLogProb) {
  using L = LatentLogProb;
  expect_checked<L>(
      {activation(6, 4), view(6, 8), RowFactor(1.0f, view(6, 1)), view(6, 1), false, view(6, 4), activation(6, 8)},
      {{"z", &L::z, kShape},
       {"stats", &L::stats, kShape},
       {"row_weight", RowWeightOf(), kShape | kOptional},
       {"log_p", &L::log_p, kShape | kOptional},
       {"dz", &L::dz, kShape | kOptional},
       {"dstats", &L::dstats, kShape | kOptional}},
      {{"none of log_p, dz and dstats is given", [](L& a) { a.log_p = a.dz = a.dstats = {}; }}});
}

}  // namespace
}  // namespace cuvae
