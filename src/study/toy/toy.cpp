// The suite "toy": exact and measured variances.
#include "study/toy/toy.h"

#include <cmath>
#include <cstdio>

#include "io/text.h"

namespace cuvae::bench {
namespace {

constexpr double kMostDraws = 1e8;

Json measured(const Interval& mean, const Interval& variance, double count, std::optional<double> exact_variance) {
  Json row = {{"mean", mean.mean},
              {"mean_error", mean.error},
              {"variance", variance.mean},
              {"variance_low", variance.low()},
              {"variance_high", variance.high()},
              {"draws", count}};
  if (exact_variance) row["exact_variance"] = *exact_variance;
  return row;
}

// The cost of an ELBO without log p(x|z). Estimators with probes evaluate log p(z) instead.
const char* function_of(const Variant& v) {
  return v.cost == Cost::joint || uses_probes(v.estimator) ? "log p" : "log p - log q";
}

Json normal_row(Context& c, const Variant& v, double delta, Index d, Index samples, double seconds,
                std::uint64_t seed) {
  ToyDraws draws(c.backend, d, samples, seed);
  std::vector<double> mu(static_cast<std::size_t>(d));
  mu[0] = delta;
  const auto found = draws.draw(v, mu, nullptr, seconds, kMostDraws);
  Json row = {{"estimator", v.name()}, {"problem", "normal"}, {"f", function_of(v)},
              {"parameter", "mu"},     {"delta", delta},      {"d", d},
              {"samples", samples}};
  row.update(measured(found.mu.mean(), found.mu.variance(), found.mu.count(), exact_normal(v, delta, d, samples)));
  row["exact_mean"] = -delta;
  return row;
}

Json function_rows(Context& c, const Variant& v, const ToyFunction& f, Index samples, double seconds,
                   std::uint64_t seed) {
  ToyDraws draws(c.backend, 1, samples, seed);
  const auto found = draws.draw(v, {1.0}, &f, seconds, kMostDraws);
  Json rows = Json::array();
  for (const bool by_sigma : {false, true}) {
    const PowerSums& sums = by_sigma ? found.sigma : found.mu;
    const std::optional<ToyMoments> exact = exact_function(v, f, samples, by_sigma);
    Json row = {{"estimator", v.name()},
                {"problem", f.name},
                {"f", f.name},
                {"parameter", by_sigma ? "sigma" : "mu"},
                {"k", f.k},
                {"samples", samples}};
    row.update(measured(sums.mean(), sums.variance(), sums.count(),
                        exact ? std::optional<double>(exact->variance) : std::nullopt));
    if (exact) row["exact_mean"] = exact->mean;
    rows.push_back(row);
  }
  return rows;
}

// f = log p(z) for the joint cost. Pathwise estimators have no cost, but their gradient is that of log p - log q.
bool in_normal(const Variant& v) {
  if (v.cost == Cost::likelihood || has_network(v.estimator)) return false;
  return v.estimator != Estimator::pathwise && !is_importance_weighted(v.estimator);
}

// f takes the place of log p(x|z).
bool in_functions(const Variant& v) {
  if (v.antithetic || has_network(v.estimator)) return false;
  return v.estimator == Estimator::pathwise || uses_probes(v.estimator) ||
         ((uses_score(v.estimator) && !traits(v.estimator).of_bound) && v.cost == Cost::likelihood);
}

Index samples_of(const Variant& v) {
  // The optimal constant is estimated from the other samples. With many, it is close to the exact limit.
  if (v.estimator == Estimator::optimal || v.estimator == Estimator::optimal_shared) return 1000;
  return traits(v.estimator).least_samples > 1 ? 4 : v.antithetic ? 2 : 1;
}

}  // namespace

std::vector<Cell> toy_cells(Context& c) {
  std::vector<Cell> cells;
  const bool quick = c.options.quick;
  const double seconds = c.options.budget / 4;
  const auto normal = [&](const Variant& v, double delta, Index d) {
    const Index K = samples_of(v);
    const std::string key = "toy/normal/delta=" + number(delta) + "/d=" + std::to_string(d) + "/" + v.name();
    // Each cell has its own noise, so that the errors of neighbouring cells are independent.
    const std::uint64_t seed = c.seed(1) ^ hash_of(key);
    cells.push_back({"toy", key, seconds, [&c, v, delta, d, K, seconds, seed] {
                       return Json::array({normal_row(c, v, delta, d, K, seconds, seed)});
                     }});
  };
  using List = std::vector<double>;
  for (const Variant& v : c.options.variants) {
    if (!in_normal(v)) continue;
    for (const double delta : quick ? List{0, 1} : List{0, 0.5, 1, 2, 5}) normal(v, delta, 1);
    for (const double d : quick ? List{10} : List{2, 10, 50, 100}) normal(v, 0, static_cast<Index>(d));
  }
  const std::pair<const char*, List> functions[] = {
      {"(x-k)^2", quick ? List{-3, 0} : List{-3, -2, -1, 0, 1, 2, 3}},
      {"exp(-kx^2)", quick ? List{0.1, 10} : List{0.1, 0.2, 0.5, 1, 2, 5, 10}},
      {"cos(kx)", quick ? List{0.5, 5} : List{0.5, 1, 1.5, 2, 3, 4, 5}}};
  for (const auto& [name, values] : functions)
    for (const double k : values)
      for (const Variant& v : c.options.variants) {
        if (!in_functions(v)) continue;
        const ToyFunction f{name, k};
        const Index K = samples_of(v);
        const std::string key = "toy/" + f.name + "/k=" + number(k) + "/" + v.name();
        const std::uint64_t seed = c.seed(2) ^ hash_of(key);
        cells.push_back(
            {"toy", key, seconds, [&c, v, f, K, seconds, seed] { return function_rows(c, v, f, K, seconds, seed); }});
      }
  return cells;
}

void print_seed_example(Context& c) {
  const double seconds = c.options.quick ? 0.2 : std::max(1.0, c.options.budget);
  std::printf("q = N(phi, 1), p = N(theta, 1), phi = theta: variance of one draw's gradient, %s\n",
              c.backend.description().c_str());
  std::printf("%-44s %10s %12s %24s %12s\n", "", "exact", "measured", "95% interval", "draws");
  const auto line = [](const char* what, double exact, const Interval& v, double draws) {
    std::printf("%-44s %10.5f %12.5f %11.5f to %9.5f %12.0f\n", what, exact, v.mean, v.low(), v.high(), draws);
  };
  ToyDraws draws(c.backend, 1, 1, c.seed(1));
  const auto path = draws.draw({Estimator::total, Cost::elbo}, {0.0}, nullptr, seconds, kMostDraws);
  const auto score = draws.draw({Estimator::score, Cost::joint}, {0.0}, nullptr, seconds, kMostDraws);
  const PowerSums decoder = draws.decoder(seconds, kMostDraws);
  const double exact = *exact_normal({Estimator::score, Cost::joint}, 0, 1, 1);
  line("by theta (decoder)", 1, decoder.variance(), decoder.count());
  line("by phi (encoder), score function of log p(z)", exact, score.mu.variance(), score.mu.count());
  line("by phi (encoder), pathwise", 1, path.mu.variance(), path.mu.count());
}

}  // namespace cuvae::bench
