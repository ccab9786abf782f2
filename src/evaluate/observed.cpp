#include "evaluate/observed.h"

#include <cmath>

#include "model/read_values.h"

namespace cuvae {

std::vector<ObservedPart> observed_parts(const Vae& vae, ConstView x) {
  const Standardization& standardization = vae.standardization();
  if (!vae.config().missing_values)
    return std::vector<ObservedPart>(static_cast<std::size_t>(x.rows), {x.cols, standardization.log_volume()});
  std::vector<float> values(static_cast<std::size_t>(x.size()));
  read_values(vae.backend(), x, values.data());
  std::vector<ObservedPart> parts(static_cast<std::size_t>(x.rows));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    const std::size_t cols = static_cast<std::size_t>(x.cols);
    ObservedPart& part = parts[i / cols];
    ++part.values;
    if (standardization) part.log_volume += std::log(standardization.scale[i % cols]);
  }
  return parts;
}

}  // namespace cuvae
