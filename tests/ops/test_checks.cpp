// The checks that stand before every op: each wrong shape, type or missing array is an Error that names the op, the
// array and the shapes. Here: batches, layers and latents.
#include "check_test.h"

namespace cuvae {
namespace {
using namespace test;

class ModelChecks : public CheckTest {};
CUVAE_IN_EVERY_PRECISION(ModelChecks);

struct Gather {
  View pixels, x;
  BatchRows rows;
  Binarize binarize;
  Noise noise;
  void call(Backend& b) const { b.gather_batch(pixels, rows, binarize, noise, x); }
};

TEST_P(ModelChecks, GatherBatch) {
  const Gather good{view(9, 5), activation(3, 5), {nullptr, 8, nullptr, 5}, Binarize::stochastic, noise()};
  expect_checked<Gather>(
      "gather_batch", good, {{"pixels", &Gather::pixels, kCols}, {"x", &Gather::x, kCols}},
      {{std::string("x is [3, 5] u8 but must be ") + (type_ == DType::f32 ? "f32" : "bf16"),
        [](Gather& g) { g.x.dtype = DType::u8; }},
       {"pixels is [9, 6] u8 but x is [3, 5]", [](Gather& g) { g.pixels.cols = 6, g.pixels.dtype = DType::u8; }},
       {"rows 5 to 9 lie outside an epoch of 8", [](Gather& g) { g.x.rows = 4; }},
       {"rows 6 to 9 lie outside an epoch of 8", [](Gather& g) { g.rows.first_row = 6; }},
       {"rows -1 to 2 lie outside", [](Gather& g) { g.rows.first_row = -1; }},
       {"rows 0 to 9 lie outside", [](Gather& g) { g.x.rows = 9, g.rows.step = g.noise.step; }},
       {"an epoch of 0 rows", [](Gather& g) { g.rows.rows = 0; }},
       {"an epoch of 10 rows does not fit pixels [9, 5]", [](Gather& g) { g.rows.rows = 10; }},
       {"step is not given", [](Gather& g) { g.noise.step = nullptr; }},
       {"first row is -1", [](Gather& g) { g.noise.first_row = -1; }}});

  Gather without_noise = good;
  without_noise.binarize = Binarize::threshold;
  without_noise.noise = {};
  EXPECT_NO_THROW(without_noise.call(backend_));
}

struct Linear {
  View x, w, b, pre, y;
  Activation act;
  void call(Backend& backend) const { backend.linear(x, w, b, act, pre, y); }
};

TEST_P(ModelChecks, Linear) {
  const Linear good{activation(3, 5), activation(7, 5), activation(1, 7),
                    activation(3, 7), activation(3, 7), Activation::relu};
  expect_checked<Linear>(
      "linear", good,
      {{"x", &Linear::x, kShape},
       {"w", &Linear::w, kShape},
       {"b", &Linear::b, kShape},
       {"pre", &Linear::pre, kShape | kOptional},
       {"y", &Linear::y, kShape}},
      {{type_ == DType::f32 ? "x is [3, 784] but w is [7, 5]" : "x is [3, 784] bf16 but w is [7, 5] bf16",
        [](Linear& l) { l.x.cols = 784; }},
       {"pre is not given but gelu needs it", [](Linear& l) { l.pre = {}, l.act = Activation::gelu; }},
       {"pre is not given but silu needs it", [](Linear& l) { l.pre = {}, l.act = Activation::silu; }}});
}

struct LinearBackward {
  View x, w, dy, below_pre, dw, db, dx;
  Activation below;
  void call(Backend& backend) const { backend.linear_backward(x, w, dy, below, below_pre, dw, db, dx); }
};

TEST_P(ModelChecks, LinearBackward) {
  using L = LinearBackward;
  const L good{activation(3, 5), activation(7, 5), activation(3, 7), activation(3, 5),
               view(7, 5),       view(1, 7),       activation(3, 5), Activation::gelu};
  expect_checked<L>("linear_backward", good,
                    {{"x", &L::x, kShape},
                     {"w", &L::w, kShape},
                     {"dy", &L::dy, kShape},
                     {"below_pre", &L::below_pre, kShape},
                     {"dw", &L::dw, kShape},
                     {"db", &L::db, kShape},
                     {"dx", &L::dx, kShape | kOptional}});
  for (const Activation below : {Activation::identity, Activation::relu, Activation::tanh}) {
    L without_pre = good;
    without_pre.below = below;
    without_pre.below_pre = {};
    EXPECT_NO_THROW(without_pre.call(backend_));
  }
}

struct SampleLatent {
  View stats, z, kl, kl_dims;
  Noise noise;
  View log_p_z, log_q, score_norm;
  void call(Backend& b) const { b.sample_latent(stats, noise, z, kl, kl_dims, nullptr, log_p_z, log_q, score_norm); }
};

TEST_P(ModelChecks, SampleLatent) {
  using S = SampleLatent;
  const S good{view(3, 8), activation(6, 4), view(3, 1), view(1, 4), noise(), view(6, 1), view(6, 1), view(6, 1)};
  expect_checked<S>(
      "sample_latent", good,
      {{"stats", &S::stats, kShape},
       {"z", &S::z, kShape},
       {"kl", &S::kl, kShape},
       {"kl_dims", &S::kl_dims, kShape},
       {"score_norm", &S::score_norm, kShape | kOptional}},
      {{"z is [6, 4]", [](S& s) { s.log_p_z.rows = 5; }},
       {"but log_q is [6, 2], not [6, 1]", [](S& s) { s.log_q.cols = 2; }},
       {"log_q is [6, 1] u8 but must be f32", [](S& s) { s.log_q.dtype = DType::u8; }},
       {"log_p_z and log_q are given both or neither", [](S& s) { s.log_q = {}; }},
       {"score_norm is given but log_q is not", [](S& s) { s.log_p_z = s.log_q = {}; }},
       {"samples is 1 but must be even", [&](S& s) { s.noise.antithetic = true, s.z.rows = 3, s.log_q = {}; }},
       {"stats is [3, 10] but z is [6, 4]", [](S& s) { s.stats.cols = 10; }},
       {"step is not given", [](S& s) { s.noise.step = nullptr; }},
       {"first row is -1", [](S& s) { s.noise.first_row = -1; }}});
  S without_densities = good;
  without_densities.log_p_z = without_densities.log_q = without_densities.score_norm = {};
  EXPECT_NO_THROW(without_densities.call(backend_));
}

struct LatentBackward {
  View stats, dz, kl_dims, dstats, path, density, score;
  Noise noise;
  KlWeight weight;
  float constant_path = 1.0f;
  bool optimal = false;
  void call(Backend& b) const {
    LatentTerms terms{{1.0f, path, constant_path}, {1.0f, density}, {1.0f, score}};
    terms.optimal_baseline = optimal;
    b.latent_backward(terms, stats, noise, dz, weight, kl_dims, 1.0f, dstats);
  }
};

TEST_P(ModelChecks, LatentBackward) {
  using L = LatentBackward;
  const L good{view(3, 8), view(6, 4), view(1, 4), activation(3, 8), view(6, 1), view(6, 1), view(6, 1), noise(), {}};
  expect_checked<L>(
      "latent_backward", good,
      {{"stats", &L::stats, kShape},
       {"dz", &L::dz, kShape},
       {"kl_dims", &L::kl_dims, kShape},
       {"dstats", &L::dstats, kShape},
       {"path", &L::path, kShape | kOptional},
       {"density", &L::density, kShape | kOptional},
       {"score", &L::score, kShape | kOptional}},
      {{"score is not given", [](L& l) { l.dz = l.path = l.score = {}, l.constant_path = 0; }},
       {"score is [7, 1], not [K * 3, 1]", [](L& l) { l.dz = l.path = {}, l.constant_path = 0, l.score.rows = 7; }},
       {"score is not given", [](L& l) { l.score = {}, l.optimal = true; }},
       {"an optimal baseline needs at least 2 samples",
        [](L& l) { l.optimal = true, l.dz = l.path = l.density = {}, l.constant_path = 0, l.score.rows = 3; }},
       {"samples is 1 but must be even",
        [](L& l) { l.noise.antithetic = true, l.dz = l.path = l.density = {}, l.constant_path = 0, l.score.rows = 3; }},
       {"step is not given", [](L& l) { l.noise.step = nullptr; }},
       {"beta is -1", [](L& l) { l.weight.beta = -1; }},
       {"beta is nan", [](L& l) { l.weight.beta = NAN; }},
       {"free bits -0.5", [](L& l) { l.weight.free_bits = -0.5f; }}});
}

}  // namespace
}  // namespace cuvae
