// A variant that is compared: an estimator, its cost, and whether it uses antithetic pairs.
#pragma once
#include <string>
#include <vector>

#include "cuvae/estimator.h"
#include "cuvae/trainer.h"

namespace cuvae::bench {

struct Variant {
  Estimator estimator = Estimator::pathwise;
  Cost cost = Cost::elbo;
  bool antithetic = false;
  bool operator==(const Variant&) const = default;
  /// "rloo", "rloo/joint", "pathwise+antithetic".
  std::string name() const;
  bool defined_for(Index samples) const {
    return samples >= traits(estimator).least_samples && !(antithetic && samples % 2 != 0);
  }
};

/// Whether the estimator is also measured with antithetic pairs.
constexpr bool is_paired(Estimator e) { return e <= Estimator::stl || e == Estimator::score; }

/// The configuration of a trainer for a variant.
inline void choose(TrainConfig& config, const Variant& v) {
  config.estimator = v.estimator, config.cost = v.cost, config.antithetic = v.antithetic;
}

/// Every estimator with every cost that it supports, and some with antithetic pairs.
std::vector<Variant> all_variants();

/// The variants with these names, or all if there are no names. An estimator's name stands for all its variants. Throws
/// Error, listing the allowed names.
std::vector<Variant> parse_variants(const std::vector<std::string>& names);

}  // namespace cuvae::bench
