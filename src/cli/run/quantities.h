// How results are named and printed, the same in every command.
#pragma once
#include <string>
#include <vector>

#include "cuvae/evaluate.h"
#include "cuvae/trainer.h"

namespace cuvae::cli {

/// What a run maximises: "ELBO", "IWAE bound over K = 5 samples", or "reconstruction - beta KL" where the KL is
/// weighted.
std::string objective_name(const TrainConfig& training);

/// The loss of a run, what it minimises: "-ELBO", "-(IWAE bound over K = 5 samples)".
std::string loss_name(const TrainConfig& training);

/// "-98.23 +- 0.51", or "+- n/a" where there is no error, as of one example.
std::string with_error(const std::string& value, double error);

/// Throws Error when an evaluation is not finite: `what` names it.
void require_finite(const Evaluation& evaluation, const std::string& what);

/// Throws Error, naming row and column, when one of the values [N, cols] is not finite: `what` names them.
void require_finite(const std::vector<float>& values, Index cols, const std::string& what);

}  // namespace cuvae::cli
