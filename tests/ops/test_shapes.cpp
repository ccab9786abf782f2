// Shapes that take many blocks, and memory that only its elements' size aligns.
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;

class Shapes : public OpTest {
 protected:
  const Array<std::uint32_t> step_{backend_, std::vector<std::uint32_t>{3}};
  Noise noise_{5, Stream::latent, step_.data(), 7};
};
CUVAE_ON_EVERY_BACKEND(Shapes);

using reference::widen;

TEST_P(Shapes, LinearBackward) {
  for (const Index rows : {255, 256, 257, 700, 20000})
    for (const Index out : {1, 31, 33, 65}) {
      if (rows > 10000 && out > 31) continue;
      SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(out));
      const Matrix dy(backend_, rows, out, random_vector(rows * out, 1)),
          x(backend_, rows, 2, random_vector(rows * 2, 2)), w(backend_, out, 2, random_vector(out * 2, 3)),
          dw(backend_, out, 2), db(backend_, 1, out);
      backend_.run(LinearBackward{x, w, dy, Activation::identity, {}, dw, db, {}});
      const auto want = reference::linear_backward(widen(x.get()), widen(w.get()), widen(dy.get()),
                                                   reference::Vector(static_cast<std::size_t>(rows * 2), 1), 2, out);
      // A sum of n terms of size 1 in float32, in any order: an error of about 2^-24 n^(1/2), n at the very worst.
      const double bound = 4e-6 * std::sqrt(static_cast<double>(rows));
      expect_close(db.get(), want.db, bound, 1e-6, "db");
      expect_close(dw.get(), want.dw, bound, 1e-6, "dw");
    }
}

TEST_P(Shapes, Latent) {
  for (const auto& [B, K, L] :
       {std::tuple<Index, Index, Index>{3000, 1, 5}, {600, 2, 70}, {1, 700, 33}, {2, 300, 64}}) {
    SCOPED_TRACE(std::to_string(B) + ", " + std::to_string(K) + ", " + std::to_string(L));
    const Matrix stats(backend_, B, 2 * L, random_vector(B * 2 * L, 1)), z(backend_, B * K, L), kl(backend_, B, 1),
        kl_dims(backend_, 1, L), dz(backend_, B * K, L, random_vector(B * K * L, 2)), dstats(backend_, B, 2 * L);
    const reference::NoiseKey key{5, Stream::latent, 3, 7};
    backend_.run(SampleGaussian{stats, noise_, z, kl, kl_dims});
    const auto want = reference::sample_latent(widen(stats.get()), key, K, L);
    expect_close(z.get(), want.z, 1e-5, 4e-6, "z");
    expect_close(kl.get(), want.kl, 1e-5, 1e-5, "kl");
    expect_close(kl_dims.get(), want.kl_dims, 1e-6, 1e-5, "kl_dims");
    backend_.run(GaussianBackward{{}, stats, noise_, dz, {}, kl_dims, 0.1f, dstats});
    const auto gradient =
        reference::latent_backward(widen(stats.get()), key, widen(dz.get()), {}, widen(kl_dims.get()), 0.1, K, L);
    expect_close(dstats.get(), gradient, 2e-5 * std::sqrt(static_cast<double>(K)), 1e-5, "dstats");
  }
}

TEST_P(Shapes, Likelihood) {
  for (const auto& [R, K, D] :
       {std::tuple<Index, Index, Index>{3000, 1, 5}, {1500, 3, 36}, {2, 1, 5000}, {4, 2, 2001}, {600, 1, 300}})
    for (const Index scales : {Index{1}, D}) {
      SCOPED_TRACE(std::to_string(R) + ", " + std::to_string(K) + ", " + std::to_string(D));
      const Matrix output(backend_, R, D, random_vector(R * D, 1)),
          x(backend_, R / K, D, random_vector(R / K * D, 2, 0, 1)),
          log_scale(backend_, 1, scales, random_vector(scales, 4)), log_p(backend_, R, 1), gradient(backend_, R, D),
          dlog_scale(backend_, 1, scales);
      const auto widened = widen(output.get());
      // A row's terms have one sign: in any order a float32 sum of D of them errs by about D^(1/2) roundings of itself.
      const double row_error = 1e-6 + 2e-7 * std::sqrt(static_cast<double>(D));
      backend_.run(GaussianLogProb{output, x, log_scale, 0.1f, log_p, gradient, dlog_scale});
      const auto gaussian = reference::gaussian_log_prob(widened, widen(x.get()), widen(log_scale.get()), 0.1f, K, D);
      expect_close(log_p.get(), gaussian.log_p, 1e-6, row_error, "log_p");
      expect_close(gradient.get(), gaussian.gradient, 1e-6, 2e-6, "dmean");
      // The sum's roundings; the error of exp(-log s) is the same in every term of a column, and grows with the sum.
      const double terms = static_cast<double>(R * D / scales);
      const reference::Vector pixels = widen(x.get()), scale = widen(log_scale.get());
      reference::Vector bound;
      for (const double want : gaussian.dlog_scale)
        bound.push_back(1e-7 * std::sqrt(terms) + 1e-5 + 1e-5 * std::fabs(want));
      for (Index i = 0; i < R * D; ++i) {
        const Index place = scales == 1 ? 0 : i % D;
        const double u = (pixels[i / D / K * D + i % D] - widened[i]) / std::exp(scale[place]);
        bound[place] += 0.1 * kSquaredExpError * u * u;
      }
      expect_within(dlog_scale.get(), gaussian.dlog_scale, bound, "dlog_scale");
      backend_.run(LogProb{Likelihood::bernoulli, output, x, 0.1f, log_p, gradient});
      const auto bernoulli = reference::bernoulli_log_prob(widened, widen(x.get()), 0.1f, K, D);
      expect_close(log_p.get(), bernoulli.log_p, 1e-6, row_error, "log_p");
      expect_close(gradient.get(), bernoulli.gradient, 1e-6, 0, "dlogits");
    }
}

/// A matrix that begins `Offset` floats after a well aligned address.
template <Index Offset>
struct Placed {
  Placed(Backend& b, Index r, Index c) : memory(b, 1, Offset + r * c), rows(r), cols(c) {}
  Placed(Backend& b, Index r, Index c, std::vector<float> values) : Placed(b, r, c) {
    values.insert(values.begin(), Offset, 0.0f);
    memory.set(values);
  }
  operator View() const { return {memory.data() + Offset, rows, cols}; }
  operator ConstView() const { return {memory.data() + Offset, rows, cols}; }
  float* data() const { return memory.data() + Offset; }
  std::vector<float> get() const {
    const std::vector<float> all = memory.get();
    return {all.begin() + Offset, all.end()};
  }
  Matrix memory;
  Index rows, cols;
};

template <class M>
std::vector<std::vector<float>> every_op(Backend& b, const Noise& noise) {
  constexpr Index R = 10, D = 36;
  std::vector<std::vector<float>> results;
  const auto keep = [&](const auto&... m) { (results.push_back(m.get()), ...); };
  const auto values = random_vector(R * D, 1);
  const M logits(b, R, D, values), x(b, R / 2, D, random_vector(R * D / 2, 2, 0, 1)),
      scale(b, 1, D, random_vector(D, 3));
  const M log_p(b, R, 1), gradient(b, R, D), dscale(b, 1, D);
  b.run(LogProb{Likelihood::bernoulli, logits, x, 0.3f, log_p, gradient});
  keep(log_p, gradient);
  b.run(GaussianLogProb{logits, x, scale, 0.3f, log_p, gradient, dscale});
  keep(log_p, gradient, dscale);

  constexpr Index W = 16;
  const auto zero = random_vector(R * W, 4, 0, 0);
  const M latents(b, R, W, random_vector(R * W, 5)), stats(b, R, 2 * W, random_vector(R * 2 * W, 6)), dz(b, R, W, zero),
      dpair(b, R, 2 * W);
  b.run(LatentLogProb{latents, stats, 0.3f, log_p, false, dz, dpair});
  keep(log_p, dz, dpair);
  const M weights(b, 1, R, random_vector(R, 7)), shares(b, R, R), dweights(b, 1, R);
  b.run(MixtureLogProb{latents, stats, weights, 0.3f, log_p, false, shares, dz, dpair, dweights});
  keep(log_p, shares, dz, dpair, dweights);

  const M z(b, 2 * R, D / 2), kl(b, R, 1), kl_dims(b, 1, D / 2), dstats(b, R, D);
  b.run(SampleGaussian{logits, noise, z, kl, kl_dims});
  b.run(GaussianBackward{{}, logits, noise, z, {1, 0, 0}, kl_dims, 0.1f, dstats});
  keep(z, kl, kl_dims, dstats);

  const M w(b, D, D, random_vector(D * D, 8)), y(b, R, D), pre(b, R, D), dw(b, D, D), db(b, 1, D), dx(b, R, D);
  b.run(Linear{logits, w, scale, Activation::silu, pre, y});
  b.run(LinearBackward{y, w, logits, Activation::silu, pre, dw, db, dx});
  keep(y, pre, dw, db, dx);

  const M batch(b, R / 2, D);
  b.run(GatherBatch{x, {nullptr, R / 2, nullptr, 0}, Binarize::stochastic, noise, batch});
  keep(batch);

  const M params(b, 1, R * D, values), grads(b, 1, R * D, values), m(b, 1, R * D, values), ema(b, 1, R * D, values),
      v(b, 1, R * D, random_vector(R * D, 2, 0, 1)), loss(b, 1, 1, {1});
  const Array<StepState> state(b, std::vector<StepState>(1));
  const Array<double> sums(b, std::vector<double>(metric::kl_dims + 1));
  OptimizerStep step;
  step.ema_decay = 0.5f;
  step.clip_norm = 0.1f;
  b.run(Adam{{params.data(), grads.data(), m.data(), v.data(), ema.data(), R * D},
             step,
             loss.data(),
             state.data(),
             sums.data()});
  keep(params, m, v, ema);
  return results;
}

// What only some accesses allow may be summed in another order: the values are all of order one.
TEST_P(Shapes, UnalignedMemoryGivesTheSame) {
  const auto aligned = every_op<Placed<0>>(backend_, noise_), unaligned = every_op<Placed<1>>(backend_, noise_);
  for (std::size_t i = 0; i < aligned.size(); ++i)
    expect_close(unaligned[i], widen(aligned[i]), 1e-6, 1e-6, "result " + std::to_string(i));
}

}  // namespace
}  // namespace cuvae
