#include "estimators/timing.h"

#include <algorithm>

#include "bench.h"

namespace cuvae::bench {
namespace {

// What every gradient does before its backward pass, with buffers of its own.
class Forward {
 public:
  Forward(Backend& backend, Vae& vae, const Point& point)
      : vae_(vae), a_(vae.allocate_with_log_densities(point.batch, point.samples)), step_(backend.allocate(4)) {}
  void operator()(ConstView x) {
    const View stats = vae_.encode(x, a_);
    const View z = vae_.sample_latent(stats, {0, Stream::latent, step_.as<std::uint32_t>()}, a_);
    vae_.log_prob(vae_.decode(z, a_), x, 0.0f, nullptr, a_);
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

Json time_group(Context& context, Models& models, const Point& point, const std::vector<Variant>& variants,
                double seconds) {
  Backend& backend = context.backend;
  const ConstView x = models.batch(point.batch);
  const auto pathwise = models.trainer(point, {}, context.seed(7));
  Forward forward(backend, pathwise->vae(), point);
  std::vector<std::unique_ptr<Trainer>> trainers;
  for (const Variant& v : variants) trainers.push_back(models.trainer(point, v, context.seed(7)));
  // Milliseconds of one call of `repeats`, after one that brings its data back into the caches.
  const auto time = [&](auto call, int repeats) {
    call();
    backend.synchronize();
    const double mark = now_ms();
    for (int i = 0; i < repeats; ++i) call();
    backend.synchronize();
    return (now_ms() - mark) / repeats;
  };
  const auto gradient_of = [&](Trainer& trainer) { return [&trainer, x] { trainer.gradient(x); }; };
  const double first = time(gradient_of(*pathwise), 1);
  const int repeats = std::max(1, static_cast<int>((context.options.quick ? 1.0 : 10.0) / first));
  const std::size_t count = variants.size();
  std::vector<std::vector<double>> full(count), ratios(count), backward(count), backward_ratios(count);
  std::vector<double> forwards;
  const double end = now_ms() + 1000 * seconds * static_cast<double>(count);
  for (int round = 0; round < 3 || (now_ms() < end && round < 200); ++round) {
    const double base = time(gradient_of(*pathwise), repeats), before = time([&] { forward(x); }, repeats);
    forwards.push_back(before);
    for (std::size_t i = 0; i < count; ++i) {
      const double ms = time(gradient_of(*trainers[i]), repeats);
      full[i].push_back(ms), ratios[i].push_back(ms / base);
      backward[i].push_back(ms - before), backward_ratios[i].push_back((ms - before) / (base - before));
    }
  }
  Json rows = Json::array();
  for (std::size_t i = 0; i < count; ++i) {
    Json row = {{"estimator", variants[i].name()}};
    row.update(point.json());
    const double ms = median(full[i]);
    row.update({{"rounds", full[i].size()},
                {"gradient_ms", ms},
                {"gradients_per_second", 1000 / ms},
                {"forward_ms", median(forwards)},
                {"backward_ms", median(backward[i])},
                {"time_ratio", median(ratios[i])},
                {"time_ratio_low", quantile(ratios[i], 0.25)},
                {"time_ratio_high", quantile(ratios[i], 0.75)},
                {"backward_ratio", median(backward_ratios[i])}});
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

// Each estimator has a trainer with buffers of its own, of some 8 kB a sample row: few at a time where rows are many.
Json time_gradients(Context& context, Models& models, const Point& point, const std::vector<Variant>& variants,
                    double seconds) {
  constexpr Index kRows = 250000;  // about 2 GB
  const auto most = static_cast<std::size_t>(std::max<Index>(1, kRows / (point.batch * point.samples)));
  Json rows = Json::array();
  for (std::size_t first = 0; first < variants.size(); first += most) {
    const auto begin = variants.begin() + static_cast<std::ptrdiff_t>(first);
    const auto count = static_cast<std::ptrdiff_t>(std::min(most, variants.size() - first));
    for (Json& row : time_group(context, models, point, {begin, begin + count}, seconds))
      rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<Cell> cost_cells(Context& c) {
  const auto models = std::make_shared<Models>(c);
  std::vector<Cell> cells;
  for (const Index K : {Index{1}, Index{5}}) {
    Point point;
    if (!c.options.checkpoint.empty()) point.stage = "checkpoint";
    point.batch = c.options.quick ? 256 : 2048;
    point.batch = std::min(point.batch, c.train->rows());
    point.samples = c.options.quick ? std::min<Index>(K, 2) : K;
    std::vector<Variant> variants;
    for (const Variant& v : c.options.variants)
      if (v.defined_for(point.samples)) variants.push_back(v);
    // Rounds of full gradients, which a budget for draws knows nothing of: at least three.
    const double each =
        std::max(c.options.budget, 6 * c.row_seconds * static_cast<double>(point.batch * (1 + point.samples)));
    cells.push_back(
        {"cost", "cost/" + point.name(), each * static_cast<double>(variants.size()),
         [&c, models, point, variants, each] { return time_gradients(c, *models, point, variants, each); }});
  }
  return cells;
}

}  // namespace cuvae::bench
