// Names and formats of results, shared by all commands.
#pragma once
#include <string>
#include <vector>

#include "cuvae/evaluate.h"
#include "cuvae/trainer.h"

namespace cuvae::cli {

/// The quantity that a run maximises: "ELBO", "IWAE bound over K = 5 samples", "MIWAE bound, M = 4 of K = 8 samples",
/// or "reconstruction - beta KL" if the KL is weighted. Where the two networks have two, the loss is the generative
/// network's.
std::string objective_name(const TrainConfig& training);

/// What validation, patience and the best checkpoint of a run follow: the bound that it trains, or else the ELBO.
std::string validated_name(const TrainConfig& training);

/// "IWAE bound over K = 5000 samples".
std::string bound_name(Bound bound, Index samples);

/// The loss that a run minimises: "-ELBO", "-(IWAE bound over K = 5 samples)".
std::string loss_name(const TrainConfig& training);

/// "-98.23 +- 0.51", or "-98.23 +- n/a" if the error is not finite, as for one example.
std::string with_error(const std::string& value, double error);

/// The KLs and the numbers of active units of the layers from the lowest up: "20.31 + 4.80", "21 + 5".
std::string kl_of_layers(const Evaluation& evaluation, int decimals);
std::string active_of_layers(const Evaluation& evaluation);

/// Throws Error if the evaluation is not finite. `what` is its name in the message.
void require_finite(const Evaluation& evaluation, const std::string& what);
void require_finite(const BoundEvaluation& evaluation, const std::string& what);

/// Throws Error, naming row and column, if one of the values [N, cols] is not finite. `what` is their name in the
/// message.
void require_finite(const std::vector<float>& values, Index cols, const std::string& what);

}  // namespace cuvae::cli
