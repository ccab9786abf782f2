// The suite "curves": the held-out ELBO over steps and over seconds, for training by each estimator.
#include "study/models.h"

namespace cuvae::bench {
namespace {

constexpr Index kBatch = 128;

struct Plan {
  Index steps, every, test_rows;
  double seconds;  // of training, after which a curve ends early
};

Plan plan_of(const Context& c) {
  const Index rows = c.test->rows();
  if (c.options.quick) return {30, 15, std::min<Index>(rows, 200), 1};
  return {1000, 100, std::min<Index>(rows, 2000), 12 * c.options.budget};
}

// The evaluation is the same for all estimators: the ELBO with one sample, the same rows and the same noise.
double elbo(const Vae& vae, const Dataset& data, Index rows) {
  std::vector<std::uint32_t> first(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<std::uint32_t>(i);
  return evaluate(vae, data, first, {}).elbo;
}

Json curve(Context& c, const Variant& v, Index samples, std::uint64_t seed) {
  const Plan plan = plan_of(c);
  TrainConfig config;
  config.seed = c.seed(100 + seed);
  config.batch = kBatch, config.samples = samples;
  config.binarize = Binarize::none;
  choose(config, v);
  Trainer trainer(c.backend, model_for(*c.train, 1, c.width(), 20), config, c.train->rows());
  Feed feed(c.backend, *c.train, kBatch, Binarize::stochastic, config.seed);
  Json steps = Json::array(), times = Json::array(), losses = Json::array();
  double spent = 0;
  for (Index step = 0;; step += plan.every) {
    steps.push_back(step), times.push_back(spent), losses.push_back(-elbo(trainer.vae(), *c.test, plan.test_rows));
    if (step >= plan.steps || spent > plan.seconds) break;
    const double begin = now();
    for (Index i = 0; i < plan.every; ++i) trainer.step(feed.next());
    c.backend.synchronize();
    spent += now() - begin;
  }
  const Json last = losses.back();
  return {{"estimator", v.name()}, {"samples", samples}, {"batch", kBatch},
          {"run", seed},           {"steps", steps},     {"seconds", times},
          {"loss", losses},        {"last_loss", last},  {"skipped", trainer.state().skipped}};
}

}  // namespace

std::vector<Cell> curve_cells(Context& c) {
  std::vector<Cell> cells;
  const Plan plan = plan_of(c);
  for (std::uint64_t seed = 0; seed < (c.options.quick ? 1u : 3u); ++seed)
    for (const Variant& v : c.options.variants) {
      if (v.cost != Cost::elbo) continue;
      // K is even, because antithetic samples are pairs. K is above 2, because all leave-one-out baselines of two
      // samples are the same.
      const Index K = is_importance_weighted(v.estimator) ? 5 : 4;
      Point point;
      point.samples = K, point.batch = kBatch;
      // The optimizer also takes time, and a curve ends only at an evaluation.
      const double step = 1.2 * gradient_seconds(c, point, v.estimator) * (has_network(v.estimator) ? 1.3 : 1.0),
                   training = std::min(static_cast<double>(plan.steps) * step,
                                       plan.seconds + static_cast<double>(plan.every) * step),
                   evaluations = training / step / static_cast<double>(plan.every) + 1,
                   evaluating = 2.0 / 3 * c.row_seconds * static_cast<double>(plan.test_rows);
      cells.push_back({"curves", "curves/" + v.name() + "/seed=" + std::to_string(seed),
                       training + evaluations * evaluating + 0.1, [&c, v, K, seed] { return curve(c, v, K, seed); }});
    }
  return cells;
}

}  // namespace cuvae::bench
