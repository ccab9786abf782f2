// The likelihoods p(x|z): one table of their traits. Their formulas are in docs/likelihoods.md.
#pragma once
#include <iterator>
#include <string_view>

#include "cuvae/types.h"

namespace cuvae {

/// Where the scale of a Gaussian likelihood comes from. With the last three, VaeConfig::scale is where it starts.
enum class ScaleKind : std::uint8_t {
  none,
  fixed,            ///< VaeConfig::scale
  learned,          ///< one parameter
  learned_per_dim,  ///< a parameter for each dimension
  output,           ///< an output of the decoder
};

struct LikelihoodTraits {
  Likelihood likelihood;
  std::string_view name;       ///< on the command line and in files
  Index outputs = 1;           ///< of the decoder for each data value
  Index values = 0;            ///< that x may take: log p is a mass over them. 0: x is continuous, log p a density
  bool unit_interval = false;  ///< x must lie in [0, 1]; it cannot be standardized
  ScaleKind scale = ScaleKind::none;
};

inline constexpr LikelihoodTraits kLikelihoods[] = {
    {.likelihood = Likelihood::bernoulli, .name = "bernoulli", .values = 2, .unit_interval = true},
    {.likelihood = Likelihood::gaussian, .name = "gaussian", .scale = ScaleKind::fixed},
    {.likelihood = Likelihood::gaussian_learned, .name = "gaussian-learned", .scale = ScaleKind::learned},
    {.likelihood = Likelihood::gaussian_learned_per_dim,
     .name = "gaussian-learned-per-dim",
     .scale = ScaleKind::learned_per_dim},
    {.likelihood = Likelihood::continuous_bernoulli, .name = "continuous-bernoulli", .unit_interval = true},
    {.likelihood = Likelihood::gaussian_scale, .name = "gaussian-scale", .outputs = 2, .scale = ScaleKind::output},
    {.likelihood = Likelihood::beta_binomial,
     .name = "beta-binomial",
     .outputs = 2,
     .values = 256,
     .unit_interval = true},
};

constexpr const LikelihoodTraits& traits(Likelihood l) { return kLikelihoods[static_cast<std::size_t>(l)]; }
constexpr bool likelihoods_are_in_order() {
  for (std::size_t i = 0; i < std::size(kLikelihoods); ++i)
    if (static_cast<std::size_t>(kLikelihoods[i].likelihood) != i) return false;
  return true;
}
static_assert(likelihoods_are_in_order(), "a row of kLikelihoods is not at the place of its enumerator");

// What follows from the table.
constexpr bool has_scale(Likelihood l) { return traits(l).scale != ScaleKind::none; }
/// Whether VaeConfig::scale is where a scale starts that training changes.
constexpr bool is_scale_learned(Likelihood l) { return has_scale(l) && traits(l).scale != ScaleKind::fixed; }
/// Whether all rows share the scale. Such a likelihood is computed by GaussianLogProb, the others by LogProb.
constexpr bool is_scale_shared(Likelihood l) { return has_scale(l) && traits(l).scale != ScaleKind::output; }
/// Whether stochastic binarization makes of data in [0, 1] what it takes.
constexpr bool is_binary(Likelihood l) { return traits(l).values == 2; }

}  // namespace cuvae
