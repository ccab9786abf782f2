#include "cuvae/types.h"

#include <array>
#include <string>
#include <utility>

#include "cuvae/bound.h"
#include "cuvae/error.h"
#include "cuvae/likelihood.h"

namespace cuvae {
namespace {

template <class Enum>
struct Names;
template <>
struct Names<Precision> {
  static constexpr const char* what = "precision";
  static constexpr std::pair<Precision, std::string_view> all[] = {
      {Precision::fp32, "fp32"}, {Precision::tf32, "tf32"}, {Precision::bf16, "bf16"}};
};
template <>
struct Names<Binarize> {
  static constexpr const char* what = "binarization";
  static constexpr std::pair<Binarize, std::string_view> all[] = {
      {Binarize::none, "none"}, {Binarize::threshold, "threshold"}, {Binarize::stochastic, "stochastic"}};
};
template <>
struct Names<Activation> {
  static constexpr const char* what = "activation";
  static constexpr std::pair<Activation, std::string_view> all[] = {{Activation::relu, "relu"},
                                                                    {Activation::tanh, "tanh"},
                                                                    {Activation::softplus, "softplus"},
                                                                    {Activation::silu, "silu"},
                                                                    {Activation::gelu, "gelu"},
                                                                    {Activation::elu, "elu"},
                                                                    {Activation::leaky_relu, "leaky-relu"},
                                                                    {Activation::identity, "identity"}};
};
template <>
struct Names<Likelihood> {
  static constexpr const char* what = "likelihood";
  static constexpr auto all = [] {
    std::array<std::pair<Likelihood, std::string_view>, std::size(kLikelihoods)> names{};
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = {kLikelihoods[i].likelihood, kLikelihoods[i].name};
    return names;
  }();
};
template <>
struct Names<LatentKind> {
  static constexpr const char* what = "latent kind";
  static constexpr std::pair<LatentKind, std::string_view> all[] = {{LatentKind::gaussian, "gaussian"},
                                                                    {LatentKind::bernoulli, "bernoulli"}};
};
template <>
struct Names<ConditionKind> {
  static constexpr const char* what = "condition";
  static constexpr std::pair<ConditionKind, std::string_view> all[] = {
      {ConditionKind::none, "none"}, {ConditionKind::labels, "labels"}, {ConditionKind::columns, "columns"}};
};
template <>
struct Names<Prior> {
  static constexpr const char* what = "prior";
  static constexpr std::pair<Prior, std::string_view> all[] = {
      {Prior::standard, "standard"}, {Prior::mixture, "mixture"}, {Prior::vampprior, "vampprior"}};
};
template <>
struct Names<Initialization> {
  static constexpr const char* what = "initialization";
  static constexpr std::pair<Initialization, std::string_view> all[] = {{Initialization::glorot, "glorot"},
                                                                        {Initialization::he, "he"}};
};
template <>
struct Names<Estimator> {
  static constexpr const char* what = "estimator";
  static constexpr std::pair<Estimator, std::string_view> all[] = {
      {Estimator::pathwise, "pathwise"},
      {Estimator::total, "total"},
      {Estimator::stl, "stl"},
      {Estimator::score, "score"},
      {Estimator::score_mean, "score-mean"},
      {Estimator::rloo, "rloo"},
      {Estimator::optimal, "optimal"},
      {Estimator::optimal_shared, "optimal-shared"},
      {Estimator::nvil, "nvil"},
      {Estimator::nvil_scaled, "nvil-scaled"},
      {Estimator::delta, "delta"},
      {Estimator::measure_valued, "measure-valued"},
      {Estimator::measure_valued_independent, "measure-valued-independent"},
      {Estimator::iwae, "iwae"},
      {Estimator::stl_iwae, "stl-iwae"},
      {Estimator::dreg, "dreg"},
      {Estimator::rws_dreg, "rws-dreg"},
      {Estimator::vimco, "vimco"},
      {Estimator::vimco_arithmetic, "vimco-arithmetic"},
      {Estimator::wake_phi, "wake-phi"}};
};
template <>
struct Names<Objective> {
  static constexpr const char* what = "objective";
  static constexpr std::pair<Objective, std::string_view> all[] = {
      {Objective::elbo, "elbo"},   {Objective::iwae, "iwae"},
      {Objective::miwae, "miwae"}, {Objective::ciwae, "ciwae"},
      {Objective::piwae, "piwae"}, {Objective::wake_sleep, "wake-sleep"},
      {Objective::rws, "rws"},     {Objective::variational, "variational"}};
};
template <>
struct Names<Cost> {
  static constexpr const char* what = "cost";
  static constexpr std::pair<Cost, std::string_view> all[] = {
      {Cost::elbo, "elbo"}, {Cost::joint, "joint"}, {Cost::likelihood, "likelihood"}};
};
template <>
struct Names<Bound> {
  static constexpr const char* what = "bound";
  static constexpr std::pair<Bound, std::string_view> all[] = {
      {Bound::elbo, "elbo"}, {Bound::iwae, "iwae"}, {Bound::prior, "prior"}, {Bound::ais, "ais"}};
};
template <>
struct Names<Annealing> {
  static constexpr const char* what = "schedule";
  static constexpr std::pair<Annealing, std::string_view> all[] = {{Annealing::linear, "linear"},
                                                                   {Annealing::sigmoidal, "sigmoidal"}};
};
template <>
struct Names<Optimizer> {
  static constexpr const char* what = "optimizer";
  static constexpr std::pair<Optimizer, std::string_view> all[] = {{Optimizer::adam, "adam"},
                                                                   {Optimizer::adamw, "adamw"},
                                                                   {Optimizer::sgd, "sgd"},
                                                                   {Optimizer::adam_iwae, "adam-iwae"}};
};
template <>
struct Names<LearningRate::Kind> {
  static constexpr const char* what = "learning-rate schedule";
  static constexpr std::pair<LearningRate::Kind, std::string_view> all[] = {{LearningRate::Kind::constant, "constant"},
                                                                            {LearningRate::Kind::cosine, "cosine"},
                                                                            {LearningRate::Kind::step, "step"},
                                                                            {LearningRate::Kind::pieces, "pieces"}};
};

// For error lines: a name from a file may hold line ends or megabytes.
std::string printable(std::string_view name) {
  std::string text(name.substr(0, 40));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  return text;
}

template <class Enum>
std::string_view name_of(Enum value) {
  for (const auto& [v, name] : Names<Enum>::all)
    if (v == value) return name;
  return "?";
}

}  // namespace

std::string_view to_string(Precision v) { return name_of(v); }
std::string_view to_string(Binarize v) { return name_of(v); }
std::string_view to_string(Activation v) { return name_of(v); }
std::string_view to_string(Likelihood v) { return name_of(v); }
std::string_view to_string(LatentKind v) { return name_of(v); }
std::string_view to_string(ConditionKind v) { return name_of(v); }
std::string_view to_string(Prior v) { return name_of(v); }
std::string_view to_string(Initialization v) { return name_of(v); }
std::string_view to_string(Estimator v) { return name_of(v); }
std::string_view to_string(Objective v) { return name_of(v); }
std::string_view to_string(Cost v) { return name_of(v); }
std::string_view to_string(Bound v) { return name_of(v); }
std::string_view to_string(Annealing v) { return name_of(v); }
std::string_view to_string(Optimizer v) { return name_of(v); }
std::string_view to_string(LearningRate::Kind v) { return name_of(v); }

std::vector<Estimator> all_estimators() {
  std::vector<Estimator> all;
  for (const auto& [value, name] : Names<Estimator>::all) all.push_back(value);
  return all;
}

template <class Enum>
Enum parse(std::string_view name) {
  std::string allowed;
  for (const auto& [v, n] : Names<Enum>::all) {
    if (n == name) return v;
    allowed += (allowed.empty() ? "" : ", ") + std::string(n);
  }
  throw Error(std::string(Names<Enum>::what) + " '" + printable(name) + "' is not one of " + allowed);
}
template Precision parse<Precision>(std::string_view);
template Binarize parse<Binarize>(std::string_view);
template Activation parse<Activation>(std::string_view);
template Likelihood parse<Likelihood>(std::string_view);
template LatentKind parse<LatentKind>(std::string_view);
template ConditionKind parse<ConditionKind>(std::string_view);
template Prior parse<Prior>(std::string_view);
template Initialization parse<Initialization>(std::string_view);
template Estimator parse<Estimator>(std::string_view);
template Objective parse<Objective>(std::string_view);
template Cost parse<Cost>(std::string_view);
template Bound parse<Bound>(std::string_view);
template Annealing parse<Annealing>(std::string_view);
template Optimizer parse<Optimizer>(std::string_view);
template LearningRate::Kind parse<LearningRate::Kind>(std::string_view);

}  // namespace cuvae
