// The ops of ladder inference (Sonderby et al. 2016), whose posterior of a latent layer joins what the layers above and
// what the data say of it. Notation and rules are those of cuvae/ops.h, which includes this header.
#pragma once
#include "cuvae/types.h"
#include "cuvae/view.h"

namespace cuvae {

class Backend;

/// The statistics of the normalized product of two Gaussians, the prior of each sample row and one of each example:
///   1 / var = 1 / var_p + 1 / var_b,  mu = var (mu_p / var_p + mu_b / var_b)
/// (Sonderby et al. 2016). Its variance is at most each of the two. Log variances are held to their
/// clamp first, so that the merged one can be below it, by up to log 2.
struct MergeGaussians {
  static constexpr const char* name = "merge_gaussians";
  ConstView prior = {};      ///< [R, 2L], mu_p | log var_p
  ConstView bottom_up = {};  ///< [B, 2L], mu_b | log var_b
  View merged = {};          ///< [R, 2L], mu | log var
  void check(const Backend& backend) const;
};

/// The gradients by the two statistics, from dmerged, that by the merged ones. With the share s = var / var_b and c = s
/// (1 - s) (mu_b - mu_p) dmu:
///   dmu_p = (1 - s) dmu,  dlogvar_p = (1 - s) dlogvar + c
///   dmu_b = sum_k s dmu,  dlogvar_b = sum_k s dlogvar - c.
/// At least one output is given.
struct MergeGaussiansBackward {
  static constexpr const char* name = "merge_gaussians_backward";
  ConstView prior = {}, bottom_up = {};  ///< [R, 2L], [B, 2L]: of MergeGaussians
  ConstView dmerged = {};                ///< [R, 2L] [A]
  View dprior = {};                      ///< [R, 2L] [A], added to what is there; may be empty
  View dbottom_up = {};                  ///< [B, 2L] [A], replaced; may be empty
  ConstView dmean = {};  ///< [B, L], added to dmu_b: that through a network which reads mu_b; may be empty
  void check(const Backend& backend) const;
};

}  // namespace cuvae
