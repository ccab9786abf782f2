#include "study/suites/timing.h"

#include <algorithm>
#include <random>

#include "study/clock.h"

namespace cuvae::bench {
namespace {

// The forward pass of a gradient, with its own buffers.
class Forward {
 public:
  Forward(Backend& backend, Vae& vae, const Point& point, bool log_densities)
      : vae_(vae),
        a_(vae.allocate(point.batch, point.samples, {.log_densities = log_densities})),
        step_(backend.allocate(4)) {}
  void operator()(ConstView x) {
    const View stats = vae_.encode(x, a_);
    const View z = vae_.sample_latents(stats, {0, Stream::latent, step_.as<std::uint32_t>()}, a_);
    vae_.log_prob(vae_.decode(z, a_), x, a_);
  }

 private:
  Vae& vae_;
  VaeActivations a_;
  Buffer step_;
};

double quantile(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  return v[static_cast<std::size_t>(q * static_cast<double>(v.size() - 1) + 0.5)];
}

constexpr double kLongGradient = 0.3;  // seconds
constexpr int kMostRounds = 200;

// Estimators with probes take long, so they form a separate group with few rounds.
int least_rounds(const Context& c, bool probes, double gradient) {
  if (probes || c.options.quick) return 3;
  return gradient > kLongGradient ? 5 : 15;
}

// The time of a turn: one call that brings data back into the caches, then the timed calls.
double turn_ms(const Context& c) { return c.options.quick ? 1.0 : 10.0; }

struct Times {
  std::vector<double> gradient, forward;  // milliseconds in each round
};

// The ratio of the medians, not the median of ratios: in a single round, the difference is small and noisy.
double backward_ratio(const Times& one, const Times& base, const std::vector<std::size_t>& rounds) {
  const auto middle = [&](const std::vector<double>& all) {
    std::vector<double> chosen;
    for (const std::size_t r : rounds) chosen.push_back(all[r]);
    return median(chosen);
  };
  return (middle(one.gradient) - middle(one.forward)) / (middle(base.gradient) - middle(base.forward));
}

// Adds that ratio with its 95% interval by the bootstrap over rounds.
void add_backward(Json& row, const Times& one, const Times& base) {
  const std::size_t n = base.gradient.size();
  std::vector<std::size_t> rounds(n);
  for (std::size_t r = 0; r < n; ++r) rounds[r] = r;
  row["backward_ms"] = median(one.gradient) - median(one.forward);
  row["backward_ratio"] = backward_ratio(one, base, rounds);
  std::mt19937 random(1);
  std::vector<double> found;
  for (int i = 0; i < 400; ++i) {
    for (std::size_t& r : rounds) r = random() % n;
    found.push_back(backward_ratio(one, base, rounds));
  }
  row["backward_ratio_low"] = quantile(found, 0.025), row["backward_ratio_high"] = quantile(found, 0.975);
}

Json row_of(const Point& point, const Variant& v, const Times& one, const Times& base) {
  std::vector<double> ratios;
  for (std::size_t r = 0; r < base.gradient.size(); ++r) ratios.push_back(one.gradient[r] / base.gradient[r]);
  Json row = {{"estimator", v.name()}};
  row.update(point.json());
  const double ms = median(one.gradient);
  row.update({{"rounds", ratios.size()},
              {"gradient_ms", ms},
              {"gradients_per_second", 1000 / ms},
              {"forward_ms", median(one.forward)},
              {"time_ratio", median(ratios)},
              {"time_ratio_low", quantile(ratios, 0.25)},
              {"time_ratio_high", quantile(ratios, 0.75)}});
  add_backward(row, one, base);
  return row;
}

Json time_group(Context& context, Models& models, const Point& point, const std::vector<Variant>& variants,
                double seconds) {
  Backend& backend = context.backend;
  const ConstView x = models.batch(point.batch);
  const auto reference = models.trainer(point, {point.base()}, context.seed(7));
  Forward plain(backend, reference->vae(), point, false), dense(backend, reference->vae(), point, true);
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (const Variant& v : variants) trainers.push_back(models.trainer(point, v, context.seed(7)));
  // The time in a training step. For nvil it includes the training of its network.
  const auto gradient_of = [&](Trainer& trainer) {
    return [&trainer, x] {
      if (has_network(trainer.config().estimator))
        trainer.fit_baseline(x);
      else
        trainer.gradient(x, RunningMeans::update);
    };
  };
  const auto time = [&](auto call, int repeats) {
    call();
    backend.synchronize();
    const double mark = now_ms();
    for (int i = 0; i < repeats; ++i) call();
    backend.synchronize();
    return (now_ms() - mark) / repeats;
  };
  const double first = time(gradient_of(*reference), 1);
  const int least = least_rounds(context, uses_probes(variants[0].estimator), first / 1000);
  const auto repeats = std::max(1, static_cast<int>(turn_ms(context) / first));
  const std::size_t count = variants.size();
  std::vector<Times> times(count);
  Times base, with_densities;
  const double end = now_ms() + 1000 * seconds * static_cast<double>(count);
  for (int round = 0; round < least || (now_ms() < end && round < kMostRounds); ++round) {
    base.gradient.push_back(time(gradient_of(*reference), repeats));
    base.forward.push_back(time([&] { plain(x); }, repeats));
    with_densities.forward.push_back(time([&] { dense(x); }, repeats));
    for (std::size_t n = 0; n < count; ++n) {  // forward and backward, so that the order of the estimators changes
      const std::size_t i = round % 2 == 0 ? n : count - 1 - n;
      const int of_these = uses_probes(variants[i].estimator) ? 1 : repeats;
      times[i].gradient.push_back(time(gradient_of(*trainers[i]), of_these));
    }
  }
  Json rows = Json::array();
  for (std::size_t i = 0; i < count; ++i) {
    times[i].forward = uses_log_densities(variants[i].estimator) ? with_densities.forward : base.forward;
    rows.push_back(row_of(point, variants[i], times[i], base));
  }
  return rows;
}

// Each estimator has a trainer with its own buffers, about 8 kB per sample row. With many rows, few trainers at a time.
std::vector<std::vector<Variant>> groups_of(const Point& point, const std::vector<Variant>& variants) {
  constexpr Index kRows = 250000;  // about 2 GB
  const auto most = static_cast<std::size_t>(std::max<Index>(1, kRows / (point.batch * point.samples)));
  std::vector<std::vector<Variant>> groups;
  for (const bool probes : {false, true}) {
    std::size_t in_last = most;
    for (const Variant& v : variants) {
      if (uses_probes(v.estimator) != probes) continue;
      if (in_last == most) groups.emplace_back(), in_last = 0;
      groups.back().push_back(v), ++in_last;
    }
  }
  return groups;
}

}  // namespace

Json time_gradients(Context& context, Models& models, const Point& point, const std::vector<Variant>& variants,
                    double seconds) {
  Json rows = Json::array();
  for (const std::vector<Variant>& group : groups_of(point, variants))
    for (Json& row : time_group(context, models, point, group, seconds)) rows.push_back(std::move(row));
  return rows;
}

double time_seconds(const Context& c, const Point& point, const std::vector<Variant>& variants, double seconds) {
  const double base = gradient_seconds(c, point, point.base());
  double sum = 0;
  for (const std::vector<Variant>& group : groups_of(point, variants)) {
    const bool probes = uses_probes(group[0].estimator);
    const auto turn = [&](double each) { return each + std::max(each, turn_ms(c) / 1000); };
    double round = 2 * turn(base);  // and both forward passes
    for (const Variant& v : group) {
      const double each = gradient_seconds(c, point, v.estimator) * (has_network(v.estimator) ? 1.3 : 1.0);
      round += probes ? 2 * each : turn(each);
    }
    sum += std::clamp(seconds * static_cast<double>(group.size()), least_rounds(c, probes, base) * round,
                      std::max(kMostRounds, least_rounds(c, probes, base)) * round);
  }
  return sum;
}

Cell time_cell(Context& c, std::shared_ptr<Models> models, const std::string& suite, const Point& point,
               const std::vector<Variant>& variants) {
  const double each = std::min(c.options.budget, 0.3);
  return {suite, suite + "/" + point.name() + "/time/" + hash_of(variants), time_seconds(c, point, variants, each),
          [&c, models, point, variants, each] { return time_gradients(c, *models, point, variants, each); }};
}

std::vector<Cell> cost_cells(Context& c) {
  const auto models = std::make_shared<Models>(c);
  std::vector<Cell> cells;
  const std::vector<Index> few = {1, 2}, all = {1, 2, 5};
  for (const Index K : c.options.quick ? few : all) {
    Point point = base_point(c);
    point.batch = std::min<Index>(c.options.quick ? 256 : 2048, c.train->rows());
    point.samples = K;
    std::vector<Variant> variants;
    for (const Variant& v : c.options.variants)
      if (v.defined_for(K)) variants.push_back(v);
    if (variants.empty()) continue;
    const double each = c.options.budget;
    cells.push_back(
        {"cost", "cost/" + point.name() + "/" + hash_of(variants),
         time_seconds(c, point, variants, each) + models->training_seconds(point),
         [&c, models, point, variants, each] { return time_gradients(c, *models, point, variants, each); }});
  }
  return cells;
}

}  // namespace cuvae::bench
