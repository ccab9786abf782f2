// Evaluation of rows that a backend may hold already.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/evaluate.h"
#include "data/resident_data.h"

namespace cuvae {

/// evaluate() over rows of data that fit the model and are in its units; log-densities are in the data's units. Rows
/// that are not on the backend are sent there in batches.
Evaluation evaluate_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                         const EvaluateOptions& options);

}  // namespace cuvae
