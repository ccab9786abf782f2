// What cuvae eval prints: each result as lines of text and as a JSON object, in which NaN and infinities become null.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cuvae/aggregate.h"
#include "cuvae/bound.h"
#include "cuvae/checkpoint.h"
#include "cuvae/exact.h"
#include "cuvae/refine.h"

namespace cuvae::cli {

/// The ELBO, and where it was asked for the aggregate posterior.
struct ElboResult {
  Evaluation elbo;
  Index samples = 1;
  std::optional<AggregateEvaluation> aggregate;
};

std::string text_of(const ElboResult& result, const CheckpointInfo& info);
std::string text_of(const BoundEvaluation& e, const CheckpointInfo& info);
std::string text_of(const ExactEvaluation& e, const CheckpointInfo& info);
std::string text_of(const GapEvaluation& e, const CheckpointInfo& info);

nlohmann::ordered_json json_of(const ElboResult& result, const CheckpointInfo& info);
nlohmann::ordered_json json_of(const BoundEvaluation& e, const CheckpointInfo& info);
nlohmann::ordered_json json_of(const ExactEvaluation& e, const CheckpointInfo& info);
nlohmann::ordered_json json_of(const GapEvaluation& e, const CheckpointInfo& info);

/// The value of each example that --per-example writes: the ELBO, or log p(x) or its bound.
std::vector<double> values_of(const ElboResult& result);
std::vector<double> values_of(const BoundEvaluation& e);
std::vector<double> values_of(const ExactEvaluation& e);
std::vector<double> values_of(const GapEvaluation& e);

/// Throws Error if a value is not finite. `what` is the name of the model in the message.
void require_finite(const ElboResult& result, const std::string& what);
void require_finite(const ExactEvaluation& e, const std::string& what);
void require_finite(const GapEvaluation& e, const std::string& what);

}  // namespace cuvae::cli
