// The time of a gradient by each estimator. They take turns in one run, so that a slower clock affects all of them.
#pragma once
#include "study/models.h"

namespace cuvae::bench {

/// A row for each variant: the median milliseconds of the gradient and of its part after the forward pass, and the
/// ratios to those of point.base(). Takes about `seconds` for each variant, or longer if the least number of rounds
/// needs it.
Json time_gradients(Context& context, Models& models, const Point& point, const std::vector<Variant>& variants,
                    double seconds);

/// The cell of a suite that times the variants at a point, at most 0.3 s for each. It keeps `models`.
Cell time_cell(Context& context, std::shared_ptr<Models> models, const std::string& suite, const Point& point,
               const std::vector<Variant>& variants);

/// The expected time of time_gradients().
double time_seconds(const Context& context, const Point& point, const std::vector<Variant>& variants, double seconds);

}  // namespace cuvae::bench
