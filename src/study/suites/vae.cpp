// The suite "vae": variance, bias and time of every estimator on a real model, with one factor varied at a time.
#include <algorithm>
#include <map>
#include <set>

#include "study/suites/timing.h"
#include "study/suites/variance.h"

namespace cuvae::bench {
namespace {

// Data that the cells share: the models, and the mean gradients that biases refer to.
struct Bench {
  Context& context;
  Models models;
  std::string reference_point;
  std::map<std::string, GradientDraws> references;  // of the current point, by estimator
  std::string base;                                 // the point that the other points are compared with

  explicit Bench(Context& c) : context(c), models(c), base(base_point(c).name()) {}

  // The base point gets four times as many seconds.
  DrawLimits limits(const Point& point) const {
    const double share = point.name() == base && !context.options.quick ? 4 : 1;
    return {context.options.draws, share * context.options.budget};
  }

  // Pathwise for the ELBO, doubly reparameterized for the bound, with independent noise.
  static Variant reference_of(const Variant& v) {
    return {is_importance_weighted(v.estimator) ? Estimator::dreg : Estimator::pathwise, Cost::elbo};
  }
  DrawLimits reference_limits(const Point& point) const { return {2 * limits(point).most, 2 * limits(point).seconds}; }

  const GradientDraws& reference_for(const Point& point, const Variant& v, ConstView x) {
    const Variant by = reference_of(v);
    if (point.name() != reference_point) references.clear(), reference_point = point.name();
    if (!references.contains(by.name())) {
      const auto trainer = models.trainer(point, by, context.seed(5));
      references[by.name()] =
          draw_gradients(context.backend, *trainer, x, encoder_of(trainer->vae().layout()), reference_limits(point));
    }
    return references[by.name()];
  }

  double reference_seconds(const Point& point, const Variant& v) const {
    const Estimator by = reference_of(v).estimator;
    return draw_seconds(by, gradient_seconds(context, point, by), reference_limits(point));
  }

  // Time in addition to the gradients: a new trainer, moments from the device, inner products.
  double seconds(const Point& point, const Variant& v) const {
    const double gradient = gradient_seconds(context, point, v.estimator);
    return draw_seconds(v.estimator, gradient, limits(point)) + models.fit_seconds(point, v.estimator) + overhead();
  }
  double overhead() const { return context.options.quick ? 0.03 : 0.15; }

  Json measure(const Point& point, const Variant& v) {
    const ConstView x = models.batch(point.batch);
    const GradientDraws& ref = reference_for(point, v, x);
    const auto trainer = models.trainer(point, v, context.seed(6));
    models.fit_baseline(*trainer);
    const GradientDraws g =
        draw_gradients(context.backend, *trainer, x, encoder_of(trainer->vae().layout()), limits(point));
    return row_of(point, v, g, ref);
  }
};

// A point, and whether it is only for antithetic pairs and the estimators that they are compared with.
struct Place {
  Point point;
  bool pairs = false;
};

std::vector<Place> places_of(const Context& c) {
  const Point base = base_point(c);
  std::vector<Place> places;
  // If K is odd, pairs are measured with one sample less.
  const auto add = [&](const Point& point, bool paired) {
    if (point.batch > c.train->rows()) return;
    places.push_back({point});
    if (!paired || point.samples % 2 == 0 || point.samples == 1) return;
    places.push_back({point, true});
    --places.back().point.samples;
  };
  add(base, true);
  const auto vary = [&](auto member, auto values, auto few, bool paired) {
    for (const auto& value : c.options.quick ? few : values) {
      Point p = base;
      p.*member = value;
      add(p, paired);
    }
  };
  using Names = std::vector<std::string>;
  using Counts = std::vector<Index>;
  if (c.options.checkpoint.empty()) {
    vary(&Point::stage, Names{"init", "end"}, Names{"init"}, true);
    vary(&Point::layers, Counts{2}, Counts{}, true);
    vary(&Point::latent, Counts{2, 10, 50}, Counts{}, true);
  }
  vary(&Point::samples, Counts{1, 2, 10, 50}, Counts{1}, false);
  vary(&Point::batch, Counts{128, 512, 2048, 8192}, Counts{}, false);
  return places;
}

bool takes_part(const Variant& v, const Place& place, bool all_costs) {
  constexpr Index kMostProbes = 1000000;  // per gradient; at batch 8192, measure-valued ones would take most of a run
  const Point& p = place.point;
  if (!v.defined_for(p.samples) || (!all_costs && v.cost != Cost::elbo)) return false;
  if (place.pairs && !(v.cost == Cost::elbo && is_paired(v.estimator))) return false;
  return !uses_probes(v.estimator) ||
         p.batch * probes_of_example(traits(v.estimator).probes, p.samples, p.latent) <= kMostProbes;
}

}  // namespace

std::vector<Cell> vae_cells(Context& c) {
  const auto bench = std::make_shared<Bench>(c);
  std::vector<Cell> cells;
  const Point base = base_point(c);
  for (const Place& place : places_of(c)) {
    const Point& point = place.point;
    // Other costs only at the base point and over K; elsewhere they would show the same.
    const bool all_costs = point.batch == base.batch && point.latent == base.latent && point.stage == base.stage &&
                           point.layers == base.layers;
    std::vector<Variant> variants;
    for (const Variant& v : c.options.variants)
      if (takes_part(v, place, all_costs)) variants.push_back(v);
    if (variants.empty()) continue;
    std::set<std::string> referred;
    for (const Variant& v : variants) {
      double seconds = bench->seconds(point, v) + bench->models.training_seconds(point);
      if (referred.insert(Bench::reference_of(v).name()).second) seconds += bench->reference_seconds(point, v);
      cells.push_back({"vae", "vae/" + point.name() + "/" + v.name(), seconds,
                       [bench, point, v] { return bench->measure(point, v); }});
    }
    cells.push_back(time_cell(c, {bench, &bench->models}, "vae", point, variants));
  }
  return cells;
}

}  // namespace cuvae::bench
