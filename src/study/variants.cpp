#include "study/variants.h"

#include <algorithm>

#include "cuvae/error.h"
#include "cuvae/trainer.h"

namespace cuvae::bench {

std::string Variant::name() const {
  return std::string(to_string(estimator)) + (cost == Cost::elbo ? "" : "/" + std::string(to_string(cost))) +
         (antithetic ? "+antithetic" : "");
}

std::vector<Variant> all_variants() {
  std::vector<Variant> all;
  for (const Estimator e : all_estimators())
    for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood})
      if (takes_cost(e, cost)) all.push_back({e, cost});
  for (const Estimator e : all_estimators())
    if (is_paired(e)) all.push_back({e, Cost::elbo, true});
  return all;
}

std::vector<Variant> parse_variants(const std::vector<std::string>& names) {
  const std::vector<Variant> all = all_variants();
  if (names.empty()) return all;
  std::vector<bool> chosen(all.size(), false);
  for (const std::string& name : names) {
    bool found = false;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i].name() == name || to_string(all[i].estimator) == name) chosen[i] = found = true;
    if (found) continue;
    std::string allowed;
    for (const Variant& v : all) allowed += (allowed.empty() ? "" : ", ") + v.name();
    throw Error("estimator '" + name.substr(0, 40) + "' is not one of " + allowed);
  }
  std::vector<Variant> result;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (chosen[i]) result.push_back(all[i]);
  return result;
}

}  // namespace cuvae::bench
