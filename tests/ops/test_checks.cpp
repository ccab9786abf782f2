// The checks that stand before every op: each wrong shape, type or missing array is an Error that names the op, the
// array and the shapes. Here: batches, layers and latents.
#include "check_test.h"

namespace cuvae {
namespace {
using namespace test;

class ModelChecks : public CheckTest {};
CUVAE_IN_EVERY_PRECISION(ModelChecks);

TEST_P(ModelChecks, GatherBatch) {
  using G = GatherBatch;
  const G good{view(9, 5), {nullptr, 8, nullptr, 5}, Binarize::stochastic, noise(), activation(3, 5)};
  expect_checked<G>(
      good, {{"pixels", &G::pixels, kCols}, {"x", &G::x, kCols}},
      {{std::string("x is [3, 5] u8 but must be ") + (type_ == DType::f32 ? "f32" : "bf16"),
        [](G& g) { g.x.dtype = DType::u8; }},
       {"pixels is [9, 6] u8 but x is [3, 5]", [](G& g) { g.pixels.cols = 6, g.pixels.dtype = DType::u8; }},
       {"rows 5 to 9 lie outside an epoch of 8", [](G& g) { g.x.rows = 4; }},
       {"rows 6 to 9 lie outside an epoch of 8", [](G& g) { g.rows.first_row = 6; }},
       {"rows -1 to 2 lie outside", [](G& g) { g.rows.first_row = -1; }},
       {"rows 0 to 9 lie outside", [](G& g) { g.x.rows = 9, g.rows.first_row = 0, g.rows.step = g.noise.step; }},
       {"rows 2 to 5 lie outside a batch of 4 rows",
        [](G& g) { g.rows.first_row = 2, g.rows.batch = 4, g.rows.step = g.noise.step; }},
       {"rows 0 to 3 lie outside a batch of 9 rows of an epoch of 8",
        [](G& g) { g.rows.first_row = 0, g.rows.batch = 9, g.rows.step = g.noise.step; }},
       {"an epoch of 0 rows", [](G& g) { g.rows.rows = 0; }},
       {"an epoch of 10 rows does not fit pixels [9, 5]", [](G& g) { g.rows.rows = 10; }},
       {"step is not given", [](G& g) { g.noise.step = nullptr; }},
       {"first row is -1", [](G& g) { g.noise.first_row = -1; }}});

  G without_noise = good;
  without_noise.binarize = Binarize::threshold;
  without_noise.noise = {};
  EXPECT_NO_THROW(backend_.run(without_noise));
}

TEST_P(ModelChecks, JoinColumns) {
  using J = JoinColumns;
  const J good{activation(6, 5), activation(3, 2), activation(6, 7)};
  expect_checked<J>(good, {{"left", &J::left, kShape}, {"right", &J::right, kShape}, {"joined", &J::joined, kShape}},
                    {{"but right is [4, 2]", [](J& j) { j.right.rows = 4; }},
                     {"but right is [12, 2]", [](J& j) { j.right.rows = 12; }}});
}

TEST_P(ModelChecks, Linear) {
  using L = Linear;
  const L good{activation(3, 5), activation(7, 5), activation(1, 7),
               Activation::relu, activation(3, 7), activation(3, 7)};
  expect_checked<L>(
      good,
      {{"x", &L::x, kShape},
       {"w", &L::w, kShape},
       {"b", &L::b, kShape},
       {"pre", &L::pre, kShape | kOptional},
       {"y", &L::y, kShape}},
      {{type_ == DType::f32 ? "x is [3, 784] but w is [7, 5]" : "x is [3, 784] bf16 but w is [7, 5] bf16",
        [](L& l) { l.x.cols = 784; }},
       {"pre is not given but gelu needs it", [](L& l) { l.pre = {}, l.activation = Activation::gelu; }},
       {"pre is not given but silu needs it", [](L& l) { l.pre = {}, l.activation = Activation::silu; }}});
}

TEST_P(ModelChecks, LinearBackward) {
  using L = LinearBackward;
  const L good{activation(3, 5), activation(7, 5), activation(3, 7), Activation::gelu,
               activation(3, 5), view(7, 5),       view(1, 7),       activation(3, 5)};
  expect_checked<L>(
      good,
      {{"x", &L::x, kShape},
       {"w", &L::w, kShape},
       {"dy", &L::dy, kShape},
       {"below_pre", &L::below_pre, kShape},
       {"dw", &L::dw, kShape},
       {"db", &L::db, kShape},
       {"dx", &L::dx, kShape | kOptional}},
      {{"dx is added to, so that it must be f32 below the identity", [](L& l) { l.dx_gradients = Gradients::add; }},
       {"but dx is [3, 4]", [](L& l) { l.dx.cols = 4; }}});
  L first_columns = good;
  first_columns.below = Activation::identity, first_columns.dx.cols = 4;
  EXPECT_NO_THROW(backend_.run(first_columns));
  first_columns.dx.cols = 6;
  expect_error("but dx is [3, 6]", first_columns);
  for (const Activation below : {Activation::identity, Activation::relu, Activation::tanh}) {
    L without_pre = good;
    without_pre.below = below;
    without_pre.below_pre = {};
    EXPECT_NO_THROW(backend_.run(without_pre));
  }
}

TEST_P(ModelChecks, SampleGaussian) {
  using S = SampleGaussian;
  const S good{view(3, 8), noise(),    activation(6, 4), view(3, 1), view(1, 4),
               nullptr,    view(6, 1), view(6, 1),       view(6, 1)};
  expect_checked<S>(
      good,
      {{"stats", &S::stats, kShape},
       {"z", &S::z, kShape},
       {"log_p_z", &S::log_p_z, kShape | kOptional},
       {"score_norm", &S::score_norm, kShape | kOptional}},
      {{"z is [6, 4]", [](S& s) { s.log_p_z.rows = 5; }},
       {"but log_q is [6, 2], not [6, 1]", [](S& s) { s.log_q.cols = 2; }},
       {"log_q is [6, 1] u8 but must be f32", [](S& s) { s.log_q.dtype = DType::u8; }},
       {"but kl is [2, 1]", [](S& s) { s.kl.rows = 2; }},
       {"but kl_dims is [1, 5]", [](S& s) { s.kl_dims.cols = 5; }},
       {"kl and kl_dims are given both or neither", [](S& s) { s.kl = {}; }},
       {"score_norm is given but log_q is not", [](S& s) { s.log_q = {}; }},
       {"samples is 1 but must be even", [&](S& s) { s.noise.antithetic = true, s.z.rows = 3, s.log_q = {}; }},
       {"stats is [3, 10] but z is [6, 4]", [](S& s) { s.stats.cols = 10; }},
       {"step is not given", [](S& s) { s.noise.step = nullptr; }},
       {"first row is -1", [](S& s) { s.noise.first_row = -1; }}});
  S without_densities = good;
  without_densities.log_p_z = without_densities.log_q = without_densities.score_norm = {};
  EXPECT_NO_THROW(backend_.run(without_densities));
  without_densities.kl = without_densities.kl_dims = {};
  EXPECT_NO_THROW(backend_.run(without_densities)) << "samples alone";
}

template <RowFactor LatentTerms::*term>
struct TermOf {
  template <class Op>
  auto& operator()(Op& op) const {
    return (op.terms.*term).rows;
  }
};

TEST_P(ModelChecks, GaussianBackward) {
  using L = GaussianBackward;
  L good{{}, view(3, 8), noise(), view(6, 4), {}, view(1, 4), 1.0f, activation(3, 8)};
  good.terms.path = {1.0f, view(6, 1), 1.0f};
  good.terms.density = {1.0f, view(6, 1)};
  good.terms.score = {1.0f, view(6, 1)};
  const auto score_alone = [](L& l) { l.dz = {}, l.terms.path = 0.0f, l.terms.density = 0.0f; };
  const auto score_of_rows = [&](L& l, Index rows) { score_alone(l), l.terms.score.rows.rows = rows; };
  expect_checked<L>(good,
                    {{"stats", &L::stats, kShape},
                     {"dz", &L::dz, kShape},
                     {"kl_dims", &L::kl_dims, kShape},
                     {"dstats", &L::dstats, kShape},
                     {"path", TermOf<&LatentTerms::path>(), kShape | kOptional},
                     {"density", TermOf<&LatentTerms::density>(), kShape | kOptional},
                     {"score", TermOf<&LatentTerms::score>(), kShape | kOptional}},
                    {{"score is not given", [&](L& l) { score_alone(l), l.terms.score = 0.0f; }},
                     {"score is [7, 1], not [K * 3, 1]", [&](L& l) { score_of_rows(l, 7); }},
                     {"score is not given", [](L& l) { l.terms.score = 0.0f, l.terms.optimal_baseline = true; }},
                     {"an optimal baseline needs at least 2 samples",
                      [&](L& l) { score_of_rows(l, 3), l.terms.optimal_baseline = true; }},
                     {"samples is 1 but must be even", [&](L& l) { score_of_rows(l, 3), l.noise.antithetic = true; }},
                     {"step is not given", [](L& l) { l.noise.step = nullptr; }},
                     {"beta is -1", [](L& l) { l.weight.beta = -1; }},
                     {"beta is nan", [](L& l) { l.weight.beta = NAN; }},
                     {"free bits -0.5", [](L& l) { l.weight.free_bits = -0.5f; }}});
  good.kl_scale = 0;
  good.kl_dims = {};
  EXPECT_NO_THROW(backend_.run(good)) << "without the KL";
}

}  // namespace
}  // namespace cuvae
