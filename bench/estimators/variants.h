// What is compared: an estimator with its cost, and whether its samples come in antithetic pairs.
#pragma once
#include <string>
#include <vector>

#include "cuvae/estimator.h"

namespace cuvae::bench {

struct Variant {
  Estimator estimator = Estimator::pathwise;
  Cost cost = Cost::elbo;
  bool operator==(const Variant&) const = default;
  /// "rloo", "rloo/joint".
  std::string name() const;
  bool defined_for(Index samples) const { return samples >= least_samples(estimator); }
};

/// Whether Trainer computes it in this build.
bool is_implemented(Estimator estimator);

/// Every estimator that is implemented with every cost that it takes.
std::vector<Variant> all_variants();

/// Those named; a score function's name without a cost stands for all its costs. None named: all. Throws Error naming
/// what is allowed.
std::vector<Variant> parse_variants(const std::vector<std::string>& names);

}  // namespace cuvae::bench
