// The suite "discrete": variance, bias and time of the estimators that need no path through the samples, on a layer of
// Bernoulli units, over the number of units. Few units are enumerated.
#include <map>

#include "study/suites/discrete_exact.h"
#include "study/suites/timing.h"

namespace cuvae::bench {
namespace {

bool takes_part(const Variant& v, Index samples) {
  return v.cost == Cost::elbo && !v.antithetic && !uses_path(v.estimator) && !uses_probes(v.estimator) &&
         v.defined_for(samples);
}

// Data that the cells share: the models, and the mean gradients of the last point that biases refer to.
struct Bench {
  Context& context;
  Models models;
  std::string point;
  std::optional<ExactDiscrete> exact;
  std::map<std::string, GradientDraws> references;

  explicit Bench(Context& c) : context(c), models(c) {}

  DrawLimits limits() const { return {context.options.draws, context.options.budget}; }
  DrawLimits reference_limits() const { return {2 * limits().most, 2 * limits().seconds}; }
  // The ELBO's where it is not known exactly, and the bound's, with independent noise.
  static Variant reference_of(const Variant& v) {
    return {is_importance_weighted(v.estimator) ? Estimator::vimco : Estimator::rloo};
  }

  const GradientDraws& reference_for(const Point& p, const Variant& v, ConstView x) {
    const Variant by = reference_of(v);
    if (p.name() != point) {
      references.clear(), exact.reset(), point = p.name();
      if (p.latent <= ExactDiscrete::kMostUnits) exact.emplace(models.trainer(p, by, 0)->vae(), x);
    }
    if (exact && !is_importance_weighted(v.estimator)) return exact->gradient();
    if (!references.contains(by.name())) {
      const auto trainer = models.trainer(p, by, context.seed(5));
      references[by.name()] =
          draw_gradients(context.backend, *trainer, x, encoder_of(trainer->vae().layout()), reference_limits());
    }
    return references[by.name()];
  }

  Json measure(const Point& p, const Variant& v) {
    const ConstView x = models.batch(p.batch);
    const GradientDraws& reference = reference_for(p, v, x);
    const auto trainer = models.trainer(p, v, context.seed(6));
    models.fit_baseline(*trainer);
    const GradientDraws g = draw_gradients(context.backend, *trainer, x, encoder_of(trainer->vae().layout()), limits());
    Json row = row_of(p, v, g, reference);
    if (exact)
      if (const auto variance = exact->variance(v, p.samples)) row["exact_variance"] = *variance;
    return row;
  }

  double seconds(const Point& p, const Variant& v, bool first) const {
    const double gradient = gradient_seconds(context, p, v.estimator);
    return draw_seconds(v.estimator, gradient, limits()) + models.fit_seconds(p, v.estimator) + 0.1 +
           (first ? draw_seconds(v.estimator, gradient, reference_limits()) + models.training_seconds(p) : 0);
  }
};

}  // namespace

std::vector<Cell> discrete_cells(Context& c) {
  const auto bench = std::make_shared<Bench>(c);
  std::vector<Cell> cells;
  const std::vector<Index> few = {8}, all = {8, 12, 20, 50, 100, 200};
  for (const Index units : c.options.quick ? few : all) {
    Point point;
    point.kind = LatentKind::bernoulli, point.latent = units;
    if (c.options.quick) point.samples = 3;
    std::vector<Variant> variants;
    for (const Variant& v : c.options.variants)
      if (takes_part(v, point.samples)) variants.push_back(v);
    if (variants.empty() || point.batch > c.train->rows()) continue;
    for (const Variant& v : variants)
      cells.push_back({"discrete", "discrete/" + point.name() + "/" + v.name(),
                       bench->seconds(point, v, v == variants.front()),
                       [bench, point, v] { return bench->measure(point, v); }});
    cells.push_back(time_cell(c, {bench, &bench->models}, "discrete", point, variants));
  }
  return cells;
}

}  // namespace cuvae::bench
