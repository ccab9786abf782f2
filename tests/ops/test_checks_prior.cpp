// The checks of learned priors and of ladder inference: each wrong shape, type or missing array is an Error that names
// the op, the array and the shapes.
#include "check_test.h"

namespace cuvae {
namespace {
using namespace test;

class PriorChecks : public CheckTest {};
CUVAE_IN_EVERY_PRECISION(PriorChecks);

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

TEST_P(PriorChecks, MixtureLogProb) {
  using M = MixtureLogProb;
  const M good{.z = activation(6, 4),
               .components = view(3, 8),
               .logits = view(1, 3),
               .row_weight = RowFactor(1.0f, view(6, 1)),
               .log_p = view(6, 1),
               .responsibilities = view(6, 3),
               .dz = view(6, 4),
               .dcomponents = view(3, 8),
               .dlogits = view(1, 3)};
  expect_checked<M>(
      good,
      {{"z", &M::z, kShape},
       {"components", &M::components, kShape},
       {"row_weight", RowWeightOf(), kShape | kOptional},
       {"log_p", &M::log_p, kShape | kOptional},
       {"dz", &M::dz, kShape | kOptional},
       {"dlogits", &M::dlogits, kShape | kOptional}},
      {{"components is [3, 8] but logits is [1, 4]", [](M& a) { a.logits.cols = 4; }},
       {"components is [3, 8] but logits is [2, 3]", [](M& a) { a.logits.rows = 2; }},
       {"components is [3, 8] but dcomponents is [4, 8]", [](M& a) { a.dcomponents.rows = 4; }},
       {"components is [3, 8] but dcomponents is [3, 9]", [](M& a) { a.dcomponents.cols = 9; }},
       {"components is [3, 8] but responsibilities is [6, 2]", [](M& a) { a.responsibilities.cols = 2; }},
       {"components is [3, 8] but responsibilities is [5, 3]", [](M& a) { a.responsibilities.rows = 5; }},
       {"dcomponents is [3, 8] u8 but must be", [](M& a) { a.dcomponents.dtype = DType::u8; }},
       {"dlogits is given but logits is not", [](M& a) { a.logits = {}; }},
       {"none of log_p, dz, dcomponents and dlogits is given",
        [](M& a) { a.log_p = a.dz = a.dcomponents = a.dlogits = {}; }},
       {"a gradient is asked for but responsibilities is not given", [](M& a) { a.responsibilities = {}; }}});
  M rounded = good;
  rounded.dcomponents.dtype = type_;
  EXPECT_NO_THROW(backend_.run(rounded));
  rounded.gradients = Gradients::add;
  if (type_ == DType::bf16) expect_error("dcomponents is [3, 8] bf16 but must be f32 to be added to", rounded);
  M alone = good;
  alone.logits = {}, alone.responsibilities = {}, alone.dz = alone.dcomponents = alone.dlogits = {};
  EXPECT_NO_THROW(backend_.run(alone));
}

TEST_P(PriorChecks, MergeGaussians) {
  using M = MergeGaussians;
  expect_checked<M>(
      {view(6, 8), view(3, 8), view(6, 8)},
      {{"prior", &M::prior, kShape}, {"bottom_up", &M::bottom_up, kShape}, {"merged", &M::merged, kShape}},
      {{"prior is [6, 7] but needs an even width", [](M& a) { a.prior.cols = a.bottom_up.cols = a.merged.cols = 7; }}});
}

TEST_P(PriorChecks, MergeGaussiansBackward) {
  using M = MergeGaussiansBackward;
  expect_checked<M>(
      {view(6, 8), view(3, 8), activation(6, 8), activation(6, 8), activation(3, 8), view(3, 4)},
      {{"prior", &M::prior, kShape},
       {"bottom_up", &M::bottom_up, kShape},
       {"dmerged", &M::dmerged, kShape},
       {"dprior", &M::dprior, kShape | kOptional},
       {"dmean", &M::dmean, kShape | kOptional}},
      {{"bottom_up is [3, 8] but dbottom_up is [2, 8]", [](M& a) { a.dbottom_up.rows = 2; }},
       {"dmean is given but dbottom_up is not", [](M& a) { a.dbottom_up = {}; }},
       {"neither dprior nor dbottom_up is given", [](M& a) { a.dprior = a.dbottom_up = {}, a.dmean = {}; }}});
}

}  // namespace
}  // namespace cuvae
