// What is compared: an estimator with its cost, and whether its samples come in antithetic pairs.
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
    return samples >= least_samples(estimator) && !(antithetic && samples % 2 != 0);
  }
};

/// Those that are measured in antithetic pairs too.
constexpr bool is_paired(Estimator e) { return e <= Estimator::stl || e == Estimator::score; }

/// What a trainer is to compute.
inline void choose(TrainConfig& config, const Variant& v) {
  config.estimator = v.estimator, config.cost = v.cost, config.antithetic = v.antithetic;
}

/// Every estimator with every cost that it takes, and a few in antithetic pairs.
std::vector<Variant> all_variants();

/// Those named; a score function's name without a cost stands for all its costs. None named: all. Throws Error naming
/// what is allowed.
std::vector<Variant> parse_variants(const std::vector<std::string>& names);

}  // namespace cuvae::bench
