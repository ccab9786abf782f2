#include "study/suites/variance.h"

#include <algorithm>
#include <cmath>

namespace cuvae::bench {
namespace {

constexpr Index kGroups = 20, kFewestGroups = 5, kFewest = 2;  // draws in a group
constexpr int kTrials = 3;                                     // gradients that are timed

// Sixteen sums, so that the compiler can vectorise.
double product(const std::vector<float>& a, const std::vector<float>& b) {
  constexpr std::size_t kSums = 16;
  double sums[kSums] = {}, sum = 0;
  std::size_t i = 0;
  for (; i + kSums <= a.size(); i += kSums)
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += static_cast<double>(a[i + k]) * static_cast<double>(b[i + k]);
  for (; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  for (const double s : sums) sum += s;
  return sum;
}

// The number of gradients to discard first, until the running mean has settled.
Index settling_draws(Estimator e) { return e == Estimator::score_mean || has_network(e) ? 30 : 1; }

}  // namespace

Slice encoder_of(const ParameterLayout& layout) {
  for (const Parameter& p : layout.parameters())
    if (!p.name.starts_with("encoder.")) return {0, p.offset};
  return {0, layout.size()};
}

std::vector<std::vector<double>> products(const std::vector<std::vector<float>>& a,
                                          const std::vector<std::vector<float>>& b) {
  std::vector<std::vector<double>> result(a.size(), std::vector<double>(b.size()));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b.size(); ++j) result[i][j] = &a == &b && j < i ? result[j][i] : product(a[i], b[j]);
  return result;
}

double draw_seconds(Estimator e, double each, const DrawLimits& limits) {
  const double most = std::min(limits.seconds, each * static_cast<double>(limits.most));
  return std::max(most, each * static_cast<double>(kFewest * kFewestGroups)) +
         each * static_cast<double>(kTrials + settling_draws(e));
}

GradientDraws draw_gradients(Backend& backend, Trainer& trainer, ConstView x, Slice slice, const DrawLimits& limits) {
  const std::size_t n = static_cast<std::size_t>(slice.size);
  const Buffer acc = backend.allocate((1 + 2 * n) * sizeof(double));
  std::uint32_t step = 0;
  const auto draw = [&] {
    trainer.set_step(step++);
    return trainer.gradient(x, RunningMeans::update);
  };
  for (Index i = 0; i < settling_draws(trainer.config().estimator); ++i) draw();
  backend.synchronize();

  const auto accumulate = [&](Index draws) {
    backend.zero(acc.data(), acc.bytes());
    for (Index i = 0; i < draws; ++i) {
      const ConstView g = draw();
      backend.run(Moments{{g.f32() + slice.offset, 1, slice.size}, acc.as<double>()});
    }
    backend.synchronize();
  };
  double each = 1e30;
  for (int i = 0; i < kTrials; ++i) {  // the shortest time counts, because other programs can only add to it
    const double begin = now();
    accumulate(1);
    each = std::min(each, now() - begin);
  }
  const Index affordable = std::min(limits.most, static_cast<Index>(limits.seconds / each));
  const Index groups = std::clamp(affordable / kFewest, kFewestGroups, kGroups);
  const Index in_group = std::max(kFewest, affordable / groups);

  GradientDraws result;
  result.draws = groups * in_group;
  std::vector<double> traces, host(1 + 2 * n);
  std::vector<std::vector<double>> by_layer;
  for (Index g = 0; g < groups; ++g) {
    accumulate(in_group);
    backend.download(host.data(), acc.data(), acc.bytes());
    result.means.emplace_back(host.begin() + 1, host.begin() + 1 + slice.size);
    traces.push_back(0);
    std::size_t layer = 0;
    for (const Parameter& p : trainer.vae().layout().parameters()) {
      const Index begin = std::max(p.offset, slice.offset),
                  end = std::min(p.offset + p.size(), slice.offset + slice.size);
      if (begin >= end) continue;
      double sum = 0;
      for (Index i = begin; i < end; ++i) sum += host[1 + n + static_cast<std::size_t>(i - slice.offset)];
      sum /= static_cast<double>(in_group - 1);
      if (g == 0) result.layers.emplace_back(p.name, Interval{}), by_layer.emplace_back();
      by_layer[layer++].push_back(sum);
      traces.back() += sum;
    }
  }
  result.trace = group_interval(traces);
  if (!std::isfinite(result.trace.mean))
    throw Error("estimator " + std::string(to_string(trainer.config().estimator)) +
                ": its gradient is not finite; has the model diverged?");
  for (std::size_t l = 0; l < by_layer.size(); ++l) result.layers[l].second = group_interval(by_layer[l]);
  result.gram = products(result.means, result.means);
  return result;
}

Json row_of(const Point& point, const Variant& v, const GradientDraws& g, const GradientDraws& ref) {
  const std::vector<std::vector<double>> cross = products(g.means, ref.means);
  const Interval norm = g.norm(), ref_norm = ref.norm(), distance = squared_distance(g.gram, ref.gram, cross);
  Json row = {{"estimator", v.name()}};
  row.update(point.json());
  row["draws"] = g.draws;
  row["groups"] = g.means.size();
  add_variance(row, g.trace);
  add_snr(row, norm, g.trace);
  if (ref_norm.low() > 0) {                     // otherwise bias and scale are unknown
    if (v.estimator != Estimator::nvil_scaled)  // its mean is scaled intentionally
      row["bias"] = distance.mean / ref_norm.mean, row["bias_error"] = distance.error / ref_norm.mean;
    const Interval scale = projection(ref.gram, cross);
    row["scale"] = scale.mean, row["scale_error"] = scale.error;
  }
  Json arrays = Json::object();
  for (const auto& [name, trace] : g.layers) arrays[name] = {{"variance", trace.mean}, {"half_width", trace.half}};
  row["arrays"] = std::move(arrays);
  return row;
}

}  // namespace cuvae::bench
