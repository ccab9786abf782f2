// mixture_log_prob: the log-density of latents under a mixture of Gaussians, and its gradients.
#include "latent_test.h"
#include "mixture_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;
using reference::widen;

// A lane to all of a warp's for a row, more components than lanes, latents in several tiles, rows in several chunks.
constexpr MixtureSize kSizes[] = {{1, 1, 1},    {3, 1, 2},     {7, 3, 7},   {5, 50, 64}, {33, 4, 33},
                                  {65, 128, 2}, {20, 31, 100}, {300, 3, 1}, {70, 33, 9}};

class Mixtures : public OpTest {
 protected:
  /// All outputs against the reference.
  void expect_match(MixtureSize s, const MixtureInputs& in, const RowFactor& factor, const reference::RowWeight& weight,
                    double weight_error) {
    const auto values = stored(in.z), start = random_vector(s.rows * s.latent, 81);
    const MixtureArrays a(backend_, s, values, in, start);
    backend_.run(a.op(factor));
    const auto want =
        reference::mixture_log_prob(widen(values), widen(in.components), widen(in.logits), weight, s.latent);
    MixtureBounds bound =
        mixture_bounds(widen(values), widen(in.components), widen(in.logits), weight, weight_error, s);
    Vector dz_want = want.dz;
    for (std::size_t i = 0; i < start.size(); ++i) {
      bound.dz[i] += 0x1p-24 * (std::fabs(start[i]) + 2 * std::fabs(want.dz[i]));
      dz_want[i] += start[i];
    }
    expect_within(a.log_p.get(), want.log_p, bound.log_p, "log_p");
    expect_within(a.responsibilities.get(), want.responsibilities, bound.responsibilities, "responsibilities");
    expect_within(a.dz.get(), dz_want, bound.dz, "dz");
    expect_within(a.dcomponents.get(), want.dcomponents, bound.dcomponents, "dcomponents");
    if (!in.logits.empty()) expect_within(a.dlogits.get(), want.dlogits, bound.dlogits, "dlogits");

    const Matrix rounded(backend_, s.components, 2 * s.latent, type_);
    MixtureLogProb op = a.op(factor);
    op.dcomponents = rounded;
    backend_.run(op);
    expect_stored_within(rounded.get(), want.dcomponents, bound.dcomponents, "dcomponents as activations");
  }
};
CUVAE_IN_EVERY_PRECISION(Mixtures);

TEST_P(Mixtures, MatchTheReference) {
  for (const MixtureSize s : kSizes)
    for (const bool equal : {false, true}) {
      SCOPED_TRACE(trace(s) + (equal ? ", equal weights" : ""));
      const MixtureInputs in = mixture_inputs(s, equal);
      const auto rows = random_vector(s.rows, 83);
      expect_match(s, in, -0.37f, double{-0.37f}, 0);
      const Matrix row(backend_, s.rows, 1, rows);
      expect_match(s, in, row_factor(row), weights_of(rows), kWeightError);
    }
}

// So many that a group of lanes takes four rows, the last ones fewer.
TEST_P(Mixtures, OfManyRowsMatchTheReference) {
  for (const MixtureSize s : {MixtureSize{8201, 3, 17}, MixtureSize{8195, 4, 33}})
    expect_match(s, mixture_inputs(s, false), -0.37f, double{-0.37f}, 0);
}

// Weights down to e^-80, so that some components count only where no other one is near.
TEST_P(Mixtures, MatchTheReferenceWithWeightsFarApart) {
  const MixtureSize s{40, 3, 9};
  MixtureInputs in = mixture_inputs(s, false);
  for (float& logit : in.logits) logit *= 40;
  expect_match(s, in, 0.8f, double{0.8f}, 0);
}

// Sums of order 10 and gradients up to 50: central differences err by 1e-8, roundings by 1e-6 of what is added up.
TEST_P(Mixtures, GradientsMatchFiniteDifferences) {
  const MixtureSize s{4, 3, 5};
  MixtureInputs in = mixture_inputs(s, false);
  in.z = stored(in.z);
  const auto rows = random_vector(s.rows, 84);
  const Matrix row(backend_, s.rows, 1, rows);
  const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  backend_.run(a.op(row_factor(row)));
  const Vector weight = weights_of(rows), at_z = widen(in.z), at_components = widen(in.components),
               at_logits = widen(in.logits);
  const auto sum = [&](const Vector& z, const Vector& components, const Vector& logits) {
    return dot(weight, reference::mixture_log_prob(z, components, logits, 0, s.latent).log_p);
  };
  const auto of_z = [&](const Vector& v) { return sum(v, at_components, at_logits); };
  const auto of_components = [&](const Vector& v) { return sum(at_z, v, at_logits); };
  const auto of_logits = [&](const Vector& v) { return sum(at_z, at_components, v); };
  expect_close(a.dz.get(), central_differences(of_z, at_z), 2e-5, 1e-5, "dz");
  expect_close(a.dcomponents.get(), central_differences(of_components, at_components), 2e-5, 1e-5, "dcomponents");
  expect_close(a.dlogits.get(), central_differences(of_logits, at_logits), 1e-5, 1e-5, "dlogits");
}

TEST_P(Mixtures, OfOneComponentAreItsLogDensity) {
  const MixtureSize s{33, 20, 1};
  const MixtureInputs in = mixture_inputs(s, false);
  const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  backend_.run(a.op(-0.5f));
  std::vector<float> stats;
  for (Index r = 0; r < s.rows; ++r) stats.insert(stats.end(), in.components.begin(), in.components.end());
  const Matrix of_rows(backend_, s.rows, 2 * s.latent, stats), log_p(backend_, s.rows, 1),
      dz(backend_, s.rows, s.latent, std::vector<float>(in.z.size()));
  backend_.run(LatentLogProb{a.z, of_rows, -0.5f, log_p, false, dz, {}});
  const Vector values = widen(stored(in.z)), components = widen(in.components);
  const MixtureBounds bound = mixture_bounds(values, components, {0}, -0.5, 0, s);
  Vector twice = bound.log_p, twice_dz = bound.dz;  // an error of each op
  for (double& b : twice) b *= 2;
  for (double& b : twice_dz) b *= 2;
  expect_within(a.log_p.get(), widen(log_p.get()), twice, "log_p");
  expect_within(a.dz.get(), widen(dz.get()), twice_dz, "dz");
  EXPECT_EQ(a.responsibilities.get(), std::vector<float>(s.rows, 1.0f));
  EXPECT_EQ(a.dlogits.get(), std::vector<float>(1, 0.0f));
}

TEST_P(Mixtures, EqualComponentsShareARowEqually) {
  const MixtureSize s{3, 2, 4};
  MixtureInputs in = mixture_inputs(s, true);
  for (std::size_t i = 0; i < in.components.size(); ++i) in.components[i] = in.components[i % 4];
  const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  backend_.run(a.op(1.0f));
  EXPECT_EQ(a.responsibilities.get(), std::vector<float>(12, 0.25f));
}

// The other components' terms are below e^-(1e3)^2/2, which no float32 holds; 2e-38 is what exp() may leave of them.
TEST_P(Mixtures, OfComponentsFarApartARowHasOne) {
  const MixtureSize s{6, 2, 40};
  MixtureInputs in = mixture_inputs(s, false);
  for (Index c = 0; c < s.components; ++c)
    for (Index l = 0; l < s.latent; ++l) {
      in.components[c * 4 + l] = 1024.0f * static_cast<float>(c);
      in.components[c * 4 + 2 + l] = 0;
    }
  std::vector<Index> own;
  for (Index r = 0; r < s.rows; ++r) {
    own.push_back(7 * r);
    for (Index l = 0; l < s.latent; ++l) in.z[r * 2 + l] = 1024.0f * static_cast<float>(own[r]) + (r == 0 ? 0.5f : 0);
  }
  ASSERT_EQ(stored(in.z), in.z);
  const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  backend_.run(a.op(1.0f));
  const auto responsibilities = a.responsibilities.get(), log_p = a.log_p.get(), dlogits = a.dlogits.get(),
             dcomponents = a.dcomponents.get();
  const auto weights = softmax(widen(in.logits));
  for (Index r = 0; r < s.rows; ++r) {
    for (Index c = 0; c < s.components; ++c)
      EXPECT_NEAR(responsibilities[r * s.components + c], c == own[r] ? 1 : 0, 2e-38) << r << ", " << c;
    const double squares = r == 0 ? 2 * 0.25 : 0, constant = std::log(2 * 3.14159265358979323846);
    const double want = std::log(weights[own[r]]) - squares / 2 - constant;
    EXPECT_NEAR(log_p[r], want, 8 * sum_error(s.components)) << r;  // the weight's logarithm, up to 8
  }
  for (Index c = 0; c < s.components; ++c) {
    const bool is_own = c % 7 == 0 && c / 7 < s.rows;
    EXPECT_NEAR(dlogits[c], (is_own ? 1 : 0) - static_cast<double>(s.rows) * weights[c], 8 * sum_error(s.components));
    for (Index l = 0; l < s.latent; ++l) {
      // By mu the distance, by logvar (its square - 1) / 2; what is left of others: 2e-38 (4e4)^2 of up to 6 rows.
      EXPECT_NEAR(dcomponents[c * 4 + l], c == 0 ? 0.5 : 0, 1e-6);
      EXPECT_NEAR(dcomponents[c * 4 + 2 + l], c == 0 ? -0.375 : is_own ? -0.5 : 0, 1e-6);
    }
  }
}

TEST_P(Mixtures, FarFromAllComponentsNothingOverflows) {
  const MixtureSize s{2, 3, 5};
  MixtureInputs in = mixture_inputs(s, false);
  in.z = {0x1p20f, 0x1p20f, 0x1p20f, -0x1p20f, 0x1p21f, 0};
  const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  backend_.run(a.op(0x1p-20f));
  const auto want = reference::mixture_log_prob(widen(in.z), widen(in.components), widen(in.logits), 0x1p-20, s.latent);
  expect_close(a.log_p.get(), want.log_p, 0, sum_error(s.latent) + kSquaredExpError, "log_p");
  // The terms are 1e10 apart, so that one component has the row.
  expect_close(a.responsibilities.get(), want.responsibilities, 2e-38, 0, "responsibilities");
  // As with one component, and an exponential's error: 2e-38 (1e7)^2 is nothing.
  expect_close(a.dz.get(), want.dz, 1e-20, 0x1p-20, "dz");
  for (const float d : a.dcomponents.get()) EXPECT_TRUE(std::isfinite(d));
  expect_close(a.dlogits.get(), want.dlogits, 0x1p-20 * 8 * sum_error(s.components), 0, "dlogits");

  in.z.assign(6, 1e30f);  // its square is no float32
  const MixtureArrays b(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  backend_.run(b.op(1.0f));
  for (const float log_p : b.log_p.get()) EXPECT_TRUE(std::isnan(log_p));
}

TEST_P(Mixtures, ANumberThatIsNotFiniteShowsInItsRowAlone) {
  const MixtureSize s{3, 2, 5};
  MixtureInputs in = mixture_inputs(s, true);
  in.z[2] = NAN;
  const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
  MixtureLogProb op = a.op(1.0f);
  backend_.run(op);
  const auto log_p = a.log_p.get(), dz = a.dz.get();
  for (const Index r : {0, 1, 2}) {
    EXPECT_EQ(std::isnan(log_p[r]), r == 1);
    EXPECT_EQ(std::isnan(dz[2 * r]), r == 1);
  }
}

// As in latent_log_prob: one row, by turns with gradients that lead in and out.
TEST_P(Mixtures, FromOutsideOfItsClampALogVarianceComesBack) {
  expect_to_come_back([&](const std::vector<float>& stats) {
    const MixtureSize s{1, 8, 1};
    const MixtureInputs in{{0.5f, 0.5f, 1, 4001, 0.5f, 4001, 1, 0.5f}, stats, {}};
    const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(8));
    backend_.run(a.op(-1.0f));
    return a.dcomponents.get();
  });
}

TEST_P(Mixtures, ALogVarianceIsHeldAtItsClamp) {
  const MixtureSize s{4, 8, 2};
  std::vector<std::vector<float>> results[2];
  for (const bool held : {false, true}) {
    MixtureInputs in = mixture_inputs(s, false);
    const auto outside = outside_stats(held);
    std::copy(outside.begin(), outside.end(), in.components.begin());
    // Where a component is narrow, a row at its means has it.
    std::fill_n(in.z.begin(), 8, 1.0f);
    const MixtureArrays a(backend_, s, in.z, in, std::vector<float>(in.z.size()));
    backend_.run(a.op(1.0f));
    results[held] = {a.log_p.get(), a.responsibilities.get(), a.dz.get(), a.dlogits.get()};
    EXPECT_GT(a.responsibilities.get()[0], 0.5f);
  }
  for (std::size_t i = 0; i < 4; ++i) expect_same_bits(results[0][i], results[1][i], "result " + std::to_string(i));
}

TEST_P(Mixtures, OutputsDoNotDependOnWhatElseIsAskedFor) {
  for (const MixtureSize s : kSizes) {
    SCOPED_TRACE(trace(s));
    const MixtureInputs in = mixture_inputs(s, false);
    const std::vector<float> zero(in.z.size());
    const MixtureArrays a(backend_, s, in.z, in, zero), alone(backend_, s, in.z, in, zero);
    backend_.run(a.op(0.3f));
    backend_.run(MixtureLogProb{.z = a.z, .components = a.components, .logits = a.logits, .log_p = alone.log_p});
    expect_same_bits(alone.log_p.get(), a.log_p.get(), "log_p");
    MixtureLogProb op{.z = a.z, .components = a.components, .logits = a.logits, .row_weight = 0.3f};
    op.responsibilities = alone.responsibilities;
    MixtureLogProb of_z = op, of_components = op, of_logits = op;
    of_z.dz = alone.dz, of_components.dcomponents = alone.dcomponents, of_logits.dlogits = alone.dlogits;
    for (const MixtureLogProb& part : {of_z, of_components, of_logits}) backend_.run(part);
    expect_same_bits(alone.responsibilities.get(), a.responsibilities.get(), "responsibilities");
    expect_same_bits(alone.dz.get(), a.dz.get(), "dz");
    expect_same_bits(alone.dcomponents.get(), a.dcomponents.get(), "dcomponents");
    expect_same_bits(alone.dlogits.get(), a.dlogits.get(), "dlogits");
  }
}

TEST_P(Mixtures, AreAddedWhereAskedFor) {
  const MixtureSize s{33, 5, 7};
  const MixtureInputs in = mixture_inputs(s, false);
  const std::vector<float> zero(in.z.size());
  const MixtureArrays alone(backend_, s, in.z, in, zero), added(backend_, s, in.z, in, zero);
  backend_.run(alone.op(0.3f));
  MixtureLogProb op = added.op(0.3f);
  op.add = true;
  op.gradients = Gradients::add;
  std::vector<std::vector<float>> starts;
  const Matrix* const to[] = {&added.log_p, &added.dcomponents, &added.dlogits};
  for (const Matrix* m : to) m->set(starts.emplace_back(random_vector(m->rows * m->cols, 85)));
  backend_.run(op);
  const Matrix* const from[] = {&alone.log_p, &alone.dcomponents, &alone.dlogits};
  for (int i = 0; i < 3; ++i) {
    const auto value = from[i]->get();
    Vector want, bound;
    for (std::size_t j = 0; j < value.size(); ++j) {
      want.push_back(double{starts[i][j]} + value[j]);
      bound.push_back(0x1p-23 * (std::fabs(starts[i][j]) + std::fabs(value[j])));  // two roundings, or a fused one
    }
    expect_within(to[i]->get(), want, bound, "result " + std::to_string(i));
  }
}

TEST_P(Mixtures, SameBitsEveryTimeAndWithAnyThreads) {
  const MixtureSize s{700, 6, 70};
  const MixtureInputs in = mixture_inputs(s, false);
  const auto results = [&](Backend& backend) {
    const MixtureArrays a(backend, s, in.z, in, std::vector<float>(in.z.size()));
    backend.run(a.op(0.3f));
    return std::vector<std::vector<float>>{a.log_p.get(), a.responsibilities.get(), a.dz.get(), a.dcomponents.get(),
                                           a.dlogits.get()};
  };
  const auto first = results(backend_), second = results(backend_);
  for (std::size_t i = 0; i < first.size(); ++i) expect_same_bits(second[i], first[i], std::to_string(i));
  if (backend_.name() != "cpu") return;
  for (const int threads : {1, 3}) {
    const auto backend = make_backend("cpu", threads);
    const auto other = results(*backend);
    for (std::size_t i = 0; i < first.size(); ++i) expect_same_bits(other[i], first[i], std::to_string(i));
  }
}

}  // namespace
}  // namespace cuvae
