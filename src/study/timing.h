// Time of a gradient by each estimator, in turns in one run, so that a clock that drops meets all of them.
#pragma once
#include "study/models.h"

namespace cuvae::bench {

/// A row for each variant: medians of the gradient's milliseconds and of its part beyond the forward pass, and ratios
/// to pathwise's. `seconds` for each variant, beyond the least number of rounds.
Json time_gradients(Context& context, Models& models, const Point& point, const std::vector<Variant>& variants,
                    double seconds);

/// Expected, of that.
double time_seconds(const Context& context, const Point& point, const std::vector<Variant>& variants, double seconds);

}  // namespace cuvae::bench
