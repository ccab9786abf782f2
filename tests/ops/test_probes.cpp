// place_probes and probe_backward: the points where estimators evaluate log p(x|z) besides their samples.
#include "check_test.h"
#include "cuvae/estimator.h"
#include "cuvae/probes.h"
#include "latent_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Estimator kEstimators[] = {Estimator::measure_valued, Estimator::measure_valued_independent,
                                     Estimator::delta};

std::string trace(Estimator e, Shape s) { return std::string(to_string(e)) + ", " + trace(s); }

class ProbeOps : public LatentTest {
 protected:
  std::vector<float> probes(Estimator e, Shape s, const std::vector<float>& stats, Index first_row = 0) {
    const Matrix in(backend_, s.batch, 2 * s.latent, stats),
        out(backend_, s.batch * probes_of_example(traits(e).probes, s.samples, s.latent), s.latent, type_);
    backend_.run(PlaceProbes{traits(e).probes, in, noise(first_row), out});
    return out.get();
  }
};
CUVAE_IN_EVERY_PRECISION(ProbeOps);

TEST_P(ProbeOps, PlacesMatchTheReference) {
  for (const Estimator e : kEstimators)
    for (const Shape s : kShapes)
      for (const Index first_row : {0, 9}) {
        SCOPED_TRACE(trace(e, s) + ", first row " + std::to_string(first_row));
        const std::vector<float> stats = random_stats(s.batch, s.latent);
        const auto want = reference::place_probes(e, reference::widen(stats), key(first_row), s.samples, s.latent);
        expect_stored_within(probes(e, s, stats, first_row), want.z, want.error, "probes");
      }
}

// The rows of a slice are those of the whole batch: the numbers go by the row.
TEST_P(ProbeOps, ASliceHasTheSameProbes) {
  const Shape s{5, 2, 7};
  const std::vector<float> stats = random_stats(s.batch, s.latent);
  for (const Estimator e : kEstimators) {
    const Shape tail{2, 2, 7};
    const std::vector<float> all = probes(e, s, stats);
    const Index n = tail.batch * probes_of_example(traits(e).probes, s.samples, s.latent) * s.latent;
    expect_same_bits(probes(e, tail, {stats.end() - 2 * 2 * s.latent, stats.end()}, 3),
                     std::vector<float>(all.end() - n, all.end()), trace(e, s));
  }
}

/// What a test of probe_backward gives it: log p(x|z) 100 nats below zero, a few nats apart.
struct Values {
  Values(Estimator e, Shape s)
      : log_p(random_vector(s.batch * s.samples, 41, -104, -100)),
        at_probes(random_vector(s.batch * probes_of_example(traits(e).probes, s.samples, s.latent), 42, -104, -100)) {}
  std::vector<float> log_p, at_probes;
};

class ProbeGradients : public LatentTest {
 protected:
  std::vector<float> gradient(Estimator e, Shape s, const std::vector<float>& stats, const Values& values,
                              const KlWeight& weight, const std::vector<float>& kl_dims, float kl_scale,
                              Index first_row = 0) {
    const Matrix in(backend_, s.batch, 2 * s.latent, stats), kl(backend_, 1, s.latent, kl_dims),
        log_p(backend_, s.batch * s.samples, 1, values.log_p),
        at_probes(backend_, static_cast<Index>(values.at_probes.size()), 1, values.at_probes),
        dstats(backend_, s.batch, 2 * s.latent, type_);
    backend_.run(ProbeBackward{traits(e).probes, in, noise(first_row),
                               e == Estimator::delta ? ConstView(log_p) : ConstView{}, at_probes, weight, kl, kl_scale,
                               dstats});
    return dstats.get();
  }
};
CUVAE_IN_EVERY_PRECISION(ProbeGradients);

TEST_P(ProbeGradients, MatchesTheReference) {
  for (const Estimator e : kEstimators)
    for (const Shape s : kShapes)
      for (const float kl_scale : {0.0f, 0.5f}) {
        SCOPED_TRACE(trace(e, s) + ", KL " + std::to_string(kl_scale));
        const std::vector<float> stats = random_stats(s.batch, s.latent);
        const Vector wide = reference::widen(stats);
        const Values values(e, s);
        // Every other dimension lies below the free bits; the warm-up is at 6 of 8 steps.
        std::vector<float> kl_dims;
        for (Index l = 0; l < s.latent; ++l) kl_dims.push_back(l % 2 == 0 ? 0.5f : 0.01f);
        const KlWeight weight{0.7f, 8, 0.1f};
        const Index first_row = 9;
        const auto got = gradient(e, s, stats, values, weight, kl_dims, kl_scale, first_row);
        Vector want = reference::probe_backward(e, wide, key(first_row), reference::widen(values.log_p),
                                                reference::widen(values.at_probes), s.samples, s.latent);
        const Vector of_kl =
            reference::latent_backward(wide, key(first_row), Vector(wide.size() / 2 * s.samples), weight,
                                       reference::widen(kl_dims), kl_scale, s.samples, s.latent);
        // Differences of such values are exact, up to 4 nats; a slope is so too, a curvature up to 8 nats. The
        // quadratic sums them over the latents, and its error counts as each sample's score; so does the normals'.
        Vector bound(stats.size());
        for (Index b = 0; b < s.batch; ++b)
          for (Index l = 0; l < s.latent; ++l) {
            const Index i = b * 2 * s.latent + l;
            const double mu = std::fabs(wide[i]), sigma = std::exp(wide[i + s.latent] / 2);
            double shift = 0, scale = 0, error = 0, error_scale = 0;
            for (Index k = 0; k < s.samples; ++k) {
              double rest = 4, off_rest = 0;
              const Index row = ((first_row + b) * s.samples + k) * s.latent;
              for (Index m = 0; m < s.latent && e == Estimator::delta; ++m) {
                const double eps = std::fabs(reference::normal(key(), row + m));
                rest += 4 * eps + 4 * eps * eps;
                off_rest += (4 + 8 * eps) * reference::normal_error(key(), row + m);
              }
              const bool scores = e == Estimator::delta;
              const double eps = std::fabs(reference::normal(key(), row + l)),
                           off = reference::normal_error(key(), row + l);
              const double r = rest * sum_error(s.latent) + off_rest;
              shift += scores ? rest * eps + 4 : 4;
              scale += scores ? rest * (eps * eps + 1) + 8 : 4;
              error += scores ? r * eps + rest * off : 0;
              error_scale += scores ? r * (eps * eps + 1) + 2 * rest * eps * off : 0;
            }
            const double of_rows = 1.0 / static_cast<double>(s.batch * s.samples);
            bound[i] = (error + 2 * shift * sum_error(s.samples)) / sigma * of_rows + 0x1p-21 * kl_scale * mu;
            bound[i + s.latent] = (error_scale + 2 * scale * sum_error(s.samples)) * of_rows / 2 +
                                  0x1p-21 * kl_scale * (sigma * sigma + 1);
          }
        for (std::size_t i = 0; i < want.size(); ++i) want[i] += of_kl[i];
        expect_stored_within(got, want, bound, "dstats");
      }
}

TEST_P(ProbeGradients, FromOutsideOfItsClampALogVarianceComesBack) {
  for (const Estimator e : kEstimators) {
    SCOPED_TRACE(trace(e, kOutside));
    const Values values(e, kOutside);
    expect_to_come_back([&](const std::vector<float>& stats) {
      return gradient(e, kOutside, stats, values, {}, std::vector<float>(8, 1), 0x1p-20f);
    });
  }
}

// Slices of one example and of some, and a whole batch at once, give the same up to the products' rounding.
TEST_P(ProbeGradients, SlicesOfTheDecodersPassMakeNoDifference) {
  VaeConfig model;
  model.data_dim = model.image_width = 12;
  model.latent = 3;
  model.encoder_hidden = model.decoder_hidden = {6};
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned_per_dim}) {
    model.likelihood = likelihood;
    const Vae vae(backend_, model, 1);
    const Shape s{5, 2, 3};
    const Matrix stats(backend_, s.batch, 2 * s.latent, random_stats(s.batch, s.latent)),
        x(backend_, s.batch, 12, random_vector(s.batch * 12, 43, 0, 1), type_);
    for (const Estimator e : kEstimators) {
      SCOPED_TRACE(trace(e, s));
      const auto log_prob = [&](Index values) {
        const Probes probes(vae, e, s.batch, s.samples, values);
        const ConstView v = probes.log_prob(vae, stats, x, noise());
        EXPECT_EQ(v.rows, s.batch * probes_of_example(traits(e).probes, s.samples, s.latent));
        std::vector<float> host(static_cast<std::size_t>(v.rows));
        backend_.download(host.data(), v.data, host.size() * sizeof(float));
        return host;
      };
      const Vector whole = reference::widen(log_prob(Probes::kValuesOfASlice));
      const Index of_two = 2 * 12 * probes_of_example(traits(e).probes, s.samples, s.latent);
      for (const Index values : {Index{1}, of_two})
        expect_close(log_prob(values), whole, 0, 4 * sum_error(12), std::to_string(values) + " values a slice");
    }
  }
}

class ProbeChecks : public CheckTest {};
CUVAE_IN_EVERY_PRECISION(ProbeChecks);

TEST_P(ProbeChecks, PlaceProbes) {
  using P = PlaceProbes;
  const std::vector<Mistake<P>> mistakes{{"step is not given", [](P& p) { p.noise.step = nullptr; }},
                                         {"first row is -1", [](P& p) { p.noise.first_row = -1; }},
                                         {"has no antithetic pairs", [](P& p) { p.noise.antithetic = true; }}};
  const std::vector<Slot<P>> slots{{"stats", &P::stats, kShape}, {"probes", &P::probes, kShape}};
  for (const ProbeKind kind : {ProbeKind::coupled_pairs, ProbeKind::independent_pairs}) {
    expect_checked<P>({kind, view(3, 8), noise(), activation(96, 4)}, slots, mistakes);
    expect_error<P>("not K * 48 rows", {kind, view(3, 8), noise(), activation(24, 4)});
  }
  expect_checked<P>({ProbeKind::differences, view(3, 8), noise(), activation(27, 4)}, slots, mistakes);
  expect_error<P>("not 27 rows", {ProbeKind::differences, view(3, 8), noise(), activation(54, 4)});
}

TEST_P(ProbeChecks, ProbeBackward) {
  using B = ProbeBackward;
  const std::vector<Mistake<B>> mistakes{{"step is not given", [](B& b) { b.noise.step = nullptr; }},
                                         {"beta is -1", [](B& b) { b.weight.beta = -1; }},
                                         {"has no antithetic pairs", [](B& b) { b.noise.antithetic = true; }}};
  std::vector<Slot<B>> slots{{"stats", &B::stats, kShape},
                             {"log_p_probes", &B::log_p_probes, kShape},
                             {"kl_dims", &B::kl_dims, kShape},
                             {"dstats", &B::dstats, kShape}};
  B good{ProbeKind::coupled_pairs, view(3, 8), noise(), {}, view(96, 1), {}, view(1, 4), 1.0f, activation(3, 8)};
  expect_checked<B>(good, slots, mistakes);
  good.kind = ProbeKind::differences, good.log_p = view(6, 1), good.log_p_probes = view(27, 1);
  slots.push_back({"log_p", &B::log_p, kShape});
  expect_checked<B>(good, slots, mistakes);
}

}  // namespace
}  // namespace cuvae
