// The suite "vae": variance, bias and time of every estimator at points of a real model, one factor varied at a time.
#include <algorithm>
#include <cmath>

#include "estimators/timing.h"
#include "estimators/variance.h"

namespace cuvae::bench {
namespace {

// What the cells of the suite share: models, and the mean gradients that biases are measured against.
struct Bench {
  Context& context;
  Models models;
  std::string reference_key;
  GradientDraws reference;

  explicit Bench(Context& c) : context(c), models(c) {}

  DrawLimits limits() const { return {context.options.draws, context.options.budget}; }

  // Pathwise for the ELBO, doubly reparameterized for the bound, with noise of its own.
  const GradientDraws& reference_for(const Point& point, const Variant& v, ConstView x) {
    const Variant by{is_importance_weighted(v.estimator) ? Estimator::dreg : Estimator::pathwise, Cost::elbo};
    const std::string key = point.name() + by.name();
    if (key != reference_key) {
      const auto trainer = models.trainer(point, by, context.seed(5));
      reference = draw_gradients(context.backend, *trainer, x, {2 * limits().most, 2 * limits().seconds});
      reference_key = key;
    }
    return reference;
  }

  Json measure(const Point& point, const Variant& v) {
    const ConstView x = models.batch(point.batch);
    const GradientDraws& ref = reference_for(point, v, x);
    const auto trainer = models.trainer(point, v, context.seed(6));
    const GradientDraws g = draw_gradients(context.backend, *trainer, x, limits());
    const Interval norm = g.norm(), ref_norm = ref.norm(),
                   distance = squared_distance(g.gram, ref.gram, products(g.means, ref.means));
    Json row = {{"estimator", v.name()}};
    row.update(point.json());
    row["draws"] = g.draws;
    row["groups"] = g.means.size();
    row["variance"] = g.trace.mean, row["variance_error"] = g.trace.error;
    row["variance_low"] = g.trace.low(), row["variance_high"] = g.trace.high();
    row["snr"] = g.trace.mean > 0 ? std::sqrt(std::max(0.0, norm.mean) / g.trace.mean) : 0.0;
    row["squared_norm"] = norm.mean, row["squared_norm_error"] = norm.error;
    row["bias"] = distance.mean / ref_norm.mean, row["bias_error"] = distance.error / std::fabs(ref_norm.mean);
    Json arrays = Json::object();
    for (const auto& [name, trace] : g.layers) arrays[name] = {{"variance", trace.mean}, {"half_width", trace.half}};
    row["arrays"] = std::move(arrays);
    return row;
  }
};

std::vector<Point> points_of(const Context& c) {
  Point base;
  if (c.options.quick) base.samples = 2;
  const bool quick = c.options.quick, given = !c.options.checkpoint.empty();
  if (given) {
    const VaeConfig model = read_checkpoint_info(c.options.checkpoint).model;
    if (model.data_dim != c.train->cols())
      throw Error(c.options.checkpoint + ": the model takes " + std::to_string(model.data_dim) + " values but " +
                  c.train->name() + " has examples of " + std::to_string(c.train->cols()));
    base.stage = "checkpoint", base.layers = static_cast<Index>(model.encoder_hidden.size());
    base.latent = model.latent;
  }
  std::vector<Point> points{base};
  const auto vary = [&](auto member, auto values, auto few) {
    for (const auto& value : quick ? few : values) {
      Point p = base;
      p.*member = value;
      points.push_back(p);
    }
  };
  using Names = std::vector<std::string>;
  using Counts = std::vector<Index>;
  if (!given) {
    vary(&Point::stage, Names{"init", "end"}, Names{"init"});
    vary(&Point::layers, Counts{2}, Counts{});
    vary(&Point::latent, Counts{2, 10, 50}, Counts{});
  }
  vary(&Point::samples, Counts{1, 2, 10, 50}, Counts{1});
  vary(&Point::batch, Counts{128, 512, 2048, 8192}, Counts{});
  std::erase_if(points, [&](const Point& p) { return p.batch > c.train->rows(); });
  return points;
}

}  // namespace

std::vector<Cell> vae_cells(Context& c) {
  const auto bench = std::make_shared<Bench>(c);
  std::vector<Cell> cells;
  const std::vector<Point> points = points_of(c);
  for (const Point& point : points) {
    // Other costs at the base point and over K alone: elsewhere they would only repeat the picture.
    const bool all_costs = point.batch == points[0].batch && point.latent == points[0].latent &&
                           point.stage == points[0].stage && point.layers == points[0].layers;
    std::vector<Variant> variants;
    for (const Variant& v : c.options.variants)
      if (v.defined_for(point.samples) && (all_costs || v.cost == Cost::elbo)) variants.push_back(v);
    // Draws for the time that is allowed, or the fewest there may be, and as much again to settle a running mean.
    const double gradient = c.row_seconds * static_cast<double>(point.batch * (1 + point.samples));
    for (const Variant& v : variants) {
      const double settling = v.estimator == Estimator::score_mean || is_nvil(v.estimator) ? 30 * gradient : 0,
                   seconds = std::max(c.options.budget, 10 * gradient) + 4 * gradient + settling + 0.15;
      cells.push_back({"vae", "vae/" + point.name() + "/" + v.name(), seconds,
                       [bench, point, v] { return bench->measure(point, v); }});
    }
    const double each = std::min(c.options.budget, 0.3);
    cells.push_back({"vae", "vae/" + point.name() + "/time",
                     std::max(each, 6 * gradient) * static_cast<double>(variants.size()),
                     [bench, point, variants, each] {
                       return time_gradients(bench->context, bench->models, point, variants, each);
                     }});
  }
  return cells;
}

}  // namespace cuvae::bench
