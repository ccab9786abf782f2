#include "cli/arguments/advice.h"

#include <cmath>

#include "data/check_data.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

constexpr double kLeastScales = 0.02, kMostScales = 50;

double distance_from_start(const Dataset& data, bool from_means) {
  std::vector<float> start(static_cast<std::size_t>(data.cols()));
  if (from_means) start = data.column_means();
  double squares = 0, count = 0;
  for (Index i = 0; i < data.rows(); ++i) {
    const std::vector<float> x = data.row(i);
    for (std::size_t d = 0; d < x.size(); ++d) {
      if (std::isnan(x[d])) continue;  // missing
      const double difference = static_cast<double>(x[d]) - static_cast<double>(start[d]);
      squares += difference * difference, ++count;
    }
  }
  return std::sqrt(squares / count);
}

}  // namespace

std::vector<std::string> data_advice(const Dataset& data) {
  if (!is_constant(data)) return {};
  const auto [least, most] = data.range();
  return {"warning: every value is " + (least <= most ? number(least) : std::string("missing")) +
          ": a model learns nothing from constant data"};
}

std::vector<std::string> scale_advice(const Settings& settings, const Dataset& data) {
  if (!has_scale(settings.model.likelihood) || settings.training.standardize) return {};
  const double distance = distance_from_start(data, settings.training.output_bias_from_data),
               scale = static_cast<double>(settings.model.scale);
  if (distance == 0 || (distance >= kLeastScales * scale && distance <= kMostScales * scale)) return {};
  return {"warning: the data differ from the untrained decoder's output by " + number(distance, 3) +
          " (root mean square), which is " + number(distance / scale, 3) + " times --scale " + number(scale) +
          ": little or nothing will be learned; try --standardize"};
}

std::vector<std::string> clamp_advice(const Settings& settings, const Vae& vae, const Metrics& metrics) {
  std::vector<std::string> lines;
  const std::string remedy = settings.training.standardize ? "" : "; try --standardize";
  if (const Index held = vae.scales_at_clamp(); held > 0)
    lines.push_back("warning: " + std::to_string(held) + " of " + std::to_string(vae.networks().log_scale->size()) +
                    " learned scales are at their limits, " + number(std::exp(static_cast<double>(kLogScaleMin))) +
                    " and " + number(std::exp(static_cast<double>(kLogScaleMax))) + remedy);
  if (metrics.clamped_units > 0)
    lines.push_back("warning: the log variances of " + std::to_string(metrics.clamped_units) + " of " +
                    std::to_string(metrics.latent) + " latent dimensions are at their limits, " +
                    number(static_cast<double>(kLogVarMin)) + " and " + number(static_cast<double>(kLogVarMax)) +
                    remedy);
  return lines;
}

}  // namespace cuvae::cli
